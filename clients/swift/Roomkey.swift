// A client of a Roomkey stack. Swift 5.9, iOS 15 or newer, no dependencies.
import Foundation

/// The request of an app token. Each platform takes some of these fields.
public struct AppTokenRequest: Encodable {
    public var room_id: String?
    public var role: String?
    public var permissions: [String]?
    public var user_id: String?
    public var services: [String]?
    public var display_name: String?
    public var email: String?
    public var avatar_url: String?
    /// Lifetime in seconds.
    public var expires_in: Int?

    public init(
        room_id: String? = nil, role: String? = nil, permissions: [String]? = nil, user_id: String? = nil,
        services: [String]? = nil, display_name: String? = nil, email: String? = nil, avatar_url: String? = nil,
        expires_in: Int? = nil
    ) {
        self.room_id = room_id
        self.role = role
        self.permissions = permissions
        self.user_id = user_id
        self.services = services
        self.display_name = display_name
        self.email = email
        self.avatar_url = avatar_url
        self.expires_in = expires_in
    }
}

public struct IceServer: Decodable {
    public let urls: [String]
    public let username: String
    public let credential: String
}

/// The reply to a request for a token.
public struct TokenReply: Decodable {
    /// Missing with `turn`, which replies `ice_servers`.
    public let token: String?
    /// Seconds until the token expires, counted from when the reply arrived.
    public let expires_in: Int
    /// Seconds until a running session needs the next token; nil where the platform never renews one.
    public let renew_in: Int?
    public let user_id: String?
    public let room_id: String?
    public let ice_servers: [IceServer]?
    /// Values that the platform's SDK needs besides the token, such as LiveKit's `server_url`.
    public let connect: [String: ConnectValue]?
}

/// A text or a list of texts.
public enum ConnectValue: Decodable {
    case text(String)
    case list([String])

    public init(from decoder: Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) { self = .text(text) } else { self = .list(try container.decode([String].self)) }
    }
}

/// Roomkey, or API Gateway in front of it, refused the request.
public struct RoomkeyError: Error, Decodable {
    public struct FieldError: Decodable {
        public let field: String
        public let reason: String
    }

    public internal(set) var status = 0
    /// Roomkey's code, or `gateway-STATUS` if API Gateway refused by itself.
    public let code: String
    public let requestID: String?
    /// The fields at fault, for `invalid-request`.
    public let errors: [FieldError]
    /// Seconds, from the `Retry-After` header; 0 if it is missing.
    public internal(set) var retryAfter = 0.0
    public var retryable: Bool { status == 429 || status >= 500 }

    private enum CodingKeys: String, CodingKey { case code, request_id, errors }

    init(status: Int, code: String) {
        self.status = status
        self.code = code
        requestID = nil
        errors = []
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        code = try container.decode(String.self, forKey: .code)
        requestID = try container.decodeIfPresent(String.self, forKey: .request_id)
        errors = try container.decodeIfPresent([FieldError].self, forKey: .errors) ?? []
    }
}

public struct Roomkey {
    private static let attempts = 3
    private static let maxRetryAfterSeconds = 5.0

    /// The stack's output `ApiUrl`.
    public let api: URL
    /// Return the access token of the signed-in user; nil where access is `open`.
    public var accessToken: (() async throws -> String)?

    public init(api: URL, accessToken: (() async throws -> String)? = nil) {
        self.api = api
        self.accessToken = accessToken
    }

    /// Request a token with which a person joins a room. Throws `RoomkeyError`, or `URLError` without a reply.
    public func appToken(platform: String, request: AppTokenRequest) async throws -> TokenReply {
        try await post("v1/\(platform)/app-token", request)
    }

    /// Exchange an invite for the token of a guest. Pass the `user_id` of an earlier reply to stay the same guest.
    public func redeemInvite(_ invite: String, userID: String? = nil, guestName: String? = nil) async throws -> TokenReply {
        struct Redemption: Encodable { let invite: String; let user_id: String?; let guest_name: String? }
        return try await post("v1/invites/redeem", Redemption(invite: invite, user_id: userID, guest_name: guestName))
    }

    private func post(_ path: String, _ body: some Encodable) async throws -> TokenReply {
        var request = URLRequest(url: api.appendingPathComponent(path), timeoutInterval: 10)
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = try JSONEncoder().encode(body)
        if let accessToken {
            request.setValue("Bearer \(try await accessToken())", forHTTPHeaderField: "Authorization")
        }
        var pause = 1.0
        for _ in 1..<Self.attempts {
            var seconds = pause
            do {
                return try await once(request)
            } catch let error as RoomkeyError {
                guard error.retryable, error.retryAfter <= Self.maxRetryAfterSeconds else { throw error }
                if error.retryAfter > 0 { seconds = error.retryAfter }
            } catch is URLError {
                // No reply: the next attempt issues its own token.
            }
            try await Task.sleep(nanoseconds: UInt64(seconds * Double.random(in: 1...2) * 1_000_000_000))
            pause *= 2
        }
        return try await once(request)
    }

    private func once(_ request: URLRequest) async throws -> TokenReply {
        let (data, response) = try await URLSession.shared.data(for: request)
        guard let http = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
        if (200..<300).contains(http.statusCode) { return try JSONDecoder().decode(TokenReply.self, from: data) }
        var error = (try? JSONDecoder().decode(RoomkeyError.self, from: data))
            ?? RoomkeyError(status: http.statusCode, code: "gateway-\(http.statusCode)")
        error.status = http.statusCode
        error.retryAfter = Double(http.value(forHTTPHeaderField: "Retry-After") ?? "") ?? 0
        throw error
    }
}
