// A client of a Roomkey stack. Dart 3, with the package http.
import 'dart:async';
import 'dart:convert';
import 'dart:math';

import 'package:http/http.dart' as http;

const _attempts = 3;
const _maxRetryAfterSeconds = 5.0;

/// The reply to a request for a token.
///
/// [expiresIn] and [renewIn] are seconds from when it arrived; [renewIn] is null where the platform never renews a
/// running session. [connect] holds the values that the platform's SDK needs besides the token. [body] is the whole
/// reply, such as `ice_servers` with `turn`.
class TokenReply {
  TokenReply(this.body);

  final Map<String, dynamic> body;

  String? get token => body['token'] as String?;
  int get expiresIn => body['expires_in'] as int;
  int? get renewIn => body['renew_in'] as int?;
  String? get userId => body['user_id'] as String?;
  String? get roomId => body['room_id'] as String?;
  Map<String, dynamic>? get connect => body['connect'] as Map<String, dynamic>?;
}

/// Roomkey, or API Gateway in front of it, refused the request.
///
/// [code] is Roomkey's, or `gateway-STATUS` if API Gateway refused by itself. [errors] lists the fields at fault, each
/// with `field` and `reason`. [retryAfter] is in seconds, 0 if the header is missing.
class RoomkeyException implements Exception {
  RoomkeyException(this.status, Map<String, dynamic> body, this.retryAfter)
      : code = body['code'] as String? ?? 'gateway-$status',
        requestId = body['request_id'] as String?,
        errors = (body['errors'] as List? ?? []).cast<Map<String, dynamic>>();

  final int status;
  final String code;
  final String? requestId;
  final List<Map<String, dynamic>> errors;
  final double retryAfter;

  /// Whether the same request may succeed later.
  bool get retryable => status == 429 || status >= 500;

  @override
  String toString() => [
        'RoomkeyException: $code ($status)',
        for (final error in errors) '${error['field']}: ${error['reason']}',
      ].join('; ');
}

class Roomkey {
  /// [api] is the stack's output `ApiUrl`. [accessToken] returns the signed-in user's; leave it out where access is
  /// `open`.
  Roomkey(this.api, {this.accessToken});

  final String api;
  final Future<String> Function()? accessToken;

  /// Requests a token with which a person joins a room, such as `{'room_id': 'r', 'role': 'guest'}`.
  ///
  /// Throws [RoomkeyException], or [http.ClientException] or [TimeoutException] without a reply.
  Future<TokenReply> appToken(String platform, Map<String, Object> request) => _post('/v1/$platform/app-token', request);

  /// Exchanges an invite for the token of a guest. Pass the `user_id` of an earlier reply to stay the same guest.
  Future<TokenReply> redeemInvite(String invite, {String? userId, String? guestName}) => _post('/v1/invites/redeem', {
        'invite': invite,
        if (userId != null) 'user_id': userId,
        if (guestName != null) 'guest_name': guestName,
      });

  Future<TokenReply> _post(String path, Map<String, Object> body) async {
    final headers = {'Content-Type': 'application/json'};
    if (accessToken != null) headers['Authorization'] = 'Bearer ${await accessToken!()}';
    final url = Uri.parse(api.replaceFirst(RegExp(r'/+$'), '') + path);
    for (var attempt = 1, pause = 1.0;; attempt++, pause *= 2) {
      var seconds = pause;
      try {
        return await _once(url, headers, jsonEncode(body));
      } on RoomkeyException catch (error) {
        if (!error.retryable || attempt == _attempts || error.retryAfter > _maxRetryAfterSeconds) rethrow;
        if (error.retryAfter > 0) seconds = error.retryAfter;
      } on http.ClientException {
        if (attempt == _attempts) rethrow;
      } on TimeoutException {
        if (attempt == _attempts) rethrow;
      }
      await Future<void>.delayed(Duration(milliseconds: (seconds * (1 + Random().nextDouble()) * 1000).round()));
    }
  }

  Future<TokenReply> _once(Uri url, Map<String, String> headers, String body) async {
    final response = await http.post(url, headers: headers, body: body).timeout(const Duration(seconds: 10));
    Map<String, dynamic> reply;
    try {
      reply = jsonDecode(utf8.decode(response.bodyBytes)) as Map<String, dynamic>;
    } catch (_) {
      reply = {}; // Not a JSON object: the status decides.
    }
    if (response.statusCode >= 200 && response.statusCode < 300) return TokenReply(reply);
    final retryAfter = double.tryParse(response.headers['retry-after'] ?? '') ?? 0;
    throw RoomkeyException(response.statusCode, reply, retryAfter);
  }
}
