// A client of a Roomkey stack. Kotlin 1.9, Android, with OkHttp 4 and kotlinx-coroutines.
package roomkey

import java.io.IOException
import java.util.concurrent.TimeUnit
import kotlin.random.Random
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.withContext
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

private const val ATTEMPTS = 3
private const val MAX_RETRY_AFTER_SECONDS = 5.0

/**
 * The reply to a request for a token. [expiresIn] and [renewIn] are seconds from when it arrived; [renewIn] is null
 * where the platform never renews a running session. [connect] holds the values that the platform's SDK needs besides
 * the token. [body] is the whole reply, such as `ice_servers` with `turn`.
 */
class TokenReply(val body: JSONObject) {
    val token: String? = body.text("token")
    val expiresIn: Long = body.getLong("expires_in")
    val renewIn: Long? = if (body.has("renew_in")) body.getLong("renew_in") else null
    val userId: String? = body.text("user_id")
    val roomId: String? = body.text("room_id")
    val connect: JSONObject? = body.optJSONObject("connect")
}

data class FieldError(val field: String, val reason: String)

/**
 * Roomkey, or API Gateway in front of it, refused the request. [code] is Roomkey's, or `gateway-STATUS` if API Gateway
 * refused by itself. [errors] lists the fields at fault. [retryAfter] is in seconds, 0 if the header is missing.
 */
class RoomkeyException(
    val status: Int,
    val code: String,
    val requestId: String?,
    val errors: List<FieldError>,
    val retryAfter: Double,
) : Exception((listOf("$code ($status)") + errors.map { "${it.field}: ${it.reason}" }).joinToString("; ")) {
    /** Whether the same request may succeed later. */
    val retryable get() = status == 429 || status >= 500
}

/** [api] is the stack's output `ApiUrl`. [accessToken] returns the signed-in user's; leave it out where access is `open`. */
class Roomkey(private val api: String, private val accessToken: (suspend () -> String)? = null) {
    private val http = OkHttpClient.Builder().callTimeout(10, TimeUnit.SECONDS).build()
    private val json = "application/json".toMediaType()

    /**
     * Requests a token with which a person joins a room, such as `mapOf("room_id" to "r", "role" to "guest")`. Lists
     * (`services`) and numbers (`expires_in`) are allowed. Throws [RoomkeyException], or [IOException] without a reply.
     */
    suspend fun appToken(platform: String, request: Map<String, Any>): TokenReply =
        post("/v1/$platform/app-token", request)

    /** Exchanges an invite for the token of a guest. Pass the `user_id` of an earlier reply to stay the same guest. */
    suspend fun redeemInvite(invite: String, guest: Map<String, Any> = emptyMap()): TokenReply =
        post("/v1/invites/redeem", guest + ("invite" to invite))

    private suspend fun post(path: String, body: Map<String, Any>): TokenReply {
        val wrapped = body.mapValues { (_, value) -> if (value is Collection<*>) JSONArray(value) else value }
        val request = Request.Builder()
            .url(api.trimEnd('/') + path)
            .post(JSONObject(wrapped).toString().toRequestBody(json))
            .apply { accessToken?.let { header("Authorization", "Bearer ${it()}") } }
            .build()
        var attempt = 1
        var pause = 1.0
        while (true) {
            var seconds = pause
            try {
                return withContext(Dispatchers.IO) { once(request) }
            } catch (error: RoomkeyException) {
                if (!error.retryable || attempt == ATTEMPTS || error.retryAfter > MAX_RETRY_AFTER_SECONDS) throw error
                if (error.retryAfter > 0) seconds = error.retryAfter
            } catch (error: IOException) {
                if (attempt == ATTEMPTS) throw error
            }
            delay((seconds * (1 + Random.nextDouble()) * 1000).toLong())
            attempt += 1
            pause *= 2
        }
    }

    private fun once(request: Request): TokenReply = http.newCall(request).execute().use { response ->
        val body = try {
            JSONObject(response.body?.string().orEmpty())
        } catch (_: JSONException) {
            JSONObject()
        }
        if (response.isSuccessful) return TokenReply(body)
        val errors = body.optJSONArray("errors") ?: JSONArray()
        throw RoomkeyException(
            status = response.code,
            code = body.text("code") ?: "gateway-${response.code}",
            requestId = body.text("request_id"),
            errors = List(errors.length()) { errors.getJSONObject(it) }
                .map { FieldError(it.getString("field"), it.getString("reason")) },
            retryAfter = response.header("Retry-After")?.toDoubleOrNull() ?: 0.0,
        )
    }
}

private fun JSONObject.text(name: String): String? = if (isNull(name)) null else getString(name)
