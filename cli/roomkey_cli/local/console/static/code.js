// A request to mint as source code, by language.
//
// `request` has `url`, `body` (an object or null) and `caller`: {type: 'anonymous'}, {type: 'user', name, signIn} with the
// URL of the demo issuer, {type: 'bearer'} with a token of another issuer, or {type: 'key', id, secret, region}.

export const LANGUAGES = {
  curl: ['curl', curl],
  javascript: ['JavaScript', javascript],
  python: ['Python', python],
  swift: ['Swift', swift],
  kotlin: ['Kotlin', kotlin],
  dart: ['Flutter', dart],
};

const NO_KEYS_IN_APPS = `// An app must not contain an AWS key. Your backend asks for this token with its own,
// and the app asks your backend.`;

const lines = (...parts) =>
  parts
    .flat()
    .filter((part) => part !== null && part !== false)
    .join('\n');

// --- values ----------------------------------------------------------------------------------------------------------

const LONGEST_LITERAL = 56;

/** Write a value as a literal with a language's escapes and brackets; a long one on several lines. */
function literal(
  value,
  {
    unicode,
    also = /(?!)/,
    list = ['[', ']'],
    object = ['{', '}'],
    pair = ': ',
    indent = '  ',
    longest = LONGEST_LITERAL,
  },
) {
  const write = (one) => {
    if (typeof one === 'number') return String(one);
    if (Array.isArray(one)) return list[0] + one.map(write).join(', ') + list[1];
    if (typeof one === 'object') {
      const fields = Object.entries(one).map(([name, of]) => write(name) + pair + write(of));
      const short = fields.join(', ');
      if (short.length <= longest) return object[0] + short + object[1];
      return `${object[0]}\n${fields.map((field) => `${indent}${field},\n`).join('')}${object[1]}`;
    }
    const escaped = [...one].map((character) => {
      if ('"\\'.includes(character) || also.test(character)) return `\\${character}`;
      const code = character.codePointAt(0);
      return code < 0x20 || code === 0x7f || (code >= 0x80 && /[\p{C}\p{Zl}\p{Zp}]/u.test(character))
        ? unicode(code)
        : character;
    });
    return `"${escaped.join('')}"`;
  };
  return write(value);
}

const hex = (code, digits) => code.toString(16).padStart(digits, '0');
/** Escape a code point as UTF-16: `\uXXXX`, twice for a surrogate pair. */
const utf16 = (code) =>
  [...Array(code > 0xffff ? 2 : 1).keys()]
    .map((index) => `\\u${hex(String.fromCodePoint(code).charCodeAt(index), 4)}`)
    .join('');

const asJson = (value) => literal(value, { unicode: utf16 });
const oneLine = (value) => literal(value, { unicode: utf16, longest: Infinity });
const asPython = (value) =>
  literal(value, { unicode: (code) => (code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`), indent: '    ' });
const asSwift = (value) =>
  literal(value, { unicode: (code) => `\\u{${hex(code, 1)}}`, object: ['[', ']'], indent: '    ' });
const asKotlin = (value) =>
  literal(value, {
    unicode: utf16,
    also: /\$/,
    list: ['listOf(', ')'],
    object: ['mapOf(', ')'],
    pair: ' to ',
    indent: '    ',
  });
const asDart = (value) => literal(value, { unicode: (code) => `\\u{${hex(code, 1)}}`, also: /\$/ });

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

// --- languages -------------------------------------------------------------------------------------------------------

function curl({ url, body, caller }) {
  const says = body ? ["-H 'Content-Type: application/json'", `-d ${shell(oneLine(body))}`] : ['-X POST'];
  const who = {
    user: () => '-H "Authorization: Bearer $ACCESS_TOKEN"',
    bearer: () => '-H "Authorization: Bearer $ACCESS_TOKEN"',
    key: () => `--aws-sigv4 aws:amz:${caller.region}:execute-api --user ${shell(`${caller.id}:${caller.secret}`)}`,
  }[caller.type]?.();
  return lines(
    caller.type === 'user' &&
      `ACCESS_TOKEN=$(curl -s ${shell(caller.signIn)} -d ${shell(oneLine({ user: caller.name }))} | cut -d '"' -f 4)`,
    [`curl -s ${shell(url)}`, who, ...says].filter(Boolean).join(' \\\n  '),
  );
}

function javascript({ url, body, caller, member }) {
  const init = ["method: 'POST',"];
  const headers = [
    body && "'Content-Type': 'application/json'",
    ['user', 'bearer'].includes(caller.type) && 'Authorization: `Bearer ${accessToken}`',
  ].filter(Boolean);
  if (headers.length) init.push(`headers: { ${headers.join(', ')} },`);
  if (body) init.push(`body: JSON.stringify(${asJson(body)}),`);
  const signed = caller.type === 'key';
  return lines(
    signed && [
      "import { AwsClient } from 'aws4fetch';",
      '',
      'const aws = new AwsClient({',
      `  accessKeyId: ${asJson(caller.id)}, secretAccessKey: ${asJson(caller.secret)}, service: 'execute-api', region: ${asJson(caller.region)},`,
      '});',
    ],
    caller.type === 'user' && [
      `const signIn = await fetch(${asJson(caller.signIn)}, { method: 'POST', body: JSON.stringify(${asJson({ user: caller.name })}) });`,
      'const { access_token: accessToken } = await signIn.json();',
      '',
    ],
    `const response = await ${signed ? 'aws.fetch' : 'fetch'}(${asJson(url)}, {`,
    init.map((line) => line.replace(/^/gm, '  ')),
    '});',
    'const answer = await response.json();',
    'if (!answer.success) throw new Error(answer.code ?? answer.message);',
    `console.log(answer.${member});`,
  );
}

function python({ url, body, caller, member }) {
  const signed = caller.type === 'key';
  const headers = [
    body && '"Content-Type": "application/json"',
    ['user', 'bearer'].includes(caller.type) && '"Authorization": f"Bearer {access_token}"',
  ].filter(Boolean);
  return lines(
    'import json',
    'from urllib.request import Request, urlopen',
    signed && [
      '',
      'from botocore.auth import SigV4Auth',
      'from botocore.awsrequest import AWSRequest',
      'from botocore.credentials import Credentials',
    ],
    '',
    caller.type === 'user' && [
      `with urlopen(${asPython(caller.signIn)}, json.dumps(${asPython({ user: caller.name })}).encode()) as response:`,
      '    access_token = json.load(response)["access_token"]',
      '',
    ],
    `url = ${asPython(url)}`,
    body ? `body = json.dumps(${asPython(body)}).encode()` : 'body = b""',
    `headers = {${headers.join(', ')}}`,
    signed && [
      'request = AWSRequest("POST", url, headers, body)',
      `SigV4Auth(Credentials(${asPython(caller.id)}, ${asPython(caller.secret)}), "execute-api", ${asPython(caller.region)}).add_auth(request)`,
      'headers = dict(request.headers)',
    ],
    'with urlopen(Request(url, body, headers, method="POST"), timeout=5) as response:',
    `    print(json.load(response)["${member}"])`,
  );
}

function swift({ url, body, caller, member }) {
  if (caller.type === 'key') return NO_KEYS_IN_APPS;
  return lines(
    'import Foundation',
    '',
    `var request = URLRequest(url: URL(string: ${asSwift(url)})!)`,
    'request.httpMethod = "POST"',
    caller.type !== 'anonymous' && 'request.setValue("Bearer \\(accessToken)", forHTTPHeaderField: "Authorization")',
    body && [
      'request.setValue("application/json", forHTTPHeaderField: "Content-Type")',
      `let asks: [String: Any] = ${asSwift(body)}`,
      'request.httpBody = try JSONSerialization.data(withJSONObject: asks)',
    ],
    'let (data, _) = try await URLSession.shared.data(for: request)',
    'let answer = try JSONSerialization.jsonObject(with: data) as? [String: Any]',
    `guard let token = answer?["${member}"]${member === 'token' ? ' as? String' : ''} else {`,
    '    fatalError("refused: \\(answer?["code"] ?? answer?["message"] ?? "no answer")")',
    '}',
    'print(token)',
  );
}

function kotlin({ url, body, caller, member }) {
  if (caller.type === 'key') return NO_KEYS_IN_APPS;
  return lines(
    'import okhttp3.MediaType.Companion.toMediaType',
    'import okhttp3.OkHttpClient',
    'import okhttp3.Request',
    'import okhttp3.RequestBody.Companion.toRequestBody',
    'import org.json.JSONObject',
    '',
    body && [`val asks = JSONObject(${asKotlin(body)})`, 'val json = "application/json".toMediaType()'],
    'val request = Request.Builder()',
    `    .url(${asKotlin(url)})`,
    caller.type !== 'anonymous' && '    .header("Authorization", "Bearer $accessToken")',
    body ? '    .post(asks.toString().toRequestBody(json))' : '    .post("".toRequestBody())',
    '    .build()',
    'OkHttpClient().newCall(request).execute().use { response ->',
    '    val answer = JSONObject(response.body!!.string())',
    '    check(answer.optBoolean("success")) { answer.optString("code", answer.optString("message")) }',
    `    println(answer.get("${member}"))`,
    '}',
  );
}

function dart({ url, body, caller, member }) {
  if (caller.type === 'key') return NO_KEYS_IN_APPS;
  const headers = [
    body && "'Content-Type': 'application/json'",
    caller.type !== 'anonymous' && "'Authorization': 'Bearer $accessToken'",
  ].filter(Boolean);
  return lines(
    "import 'dart:convert';",
    "import 'package:http/http.dart' as http;",
    '',
    'final response = await http.post(',
    `  Uri.parse(${asDart(url)}),`,
    headers.length > 0 && `  headers: {${headers.join(', ')}},`,
    body && `  body: jsonEncode(${asDart(body)}),`.replace(/\n/g, '\n  '),
    ');',
    'final answer = jsonDecode(response.body);',
    "if (answer['success'] != true) throw Exception(answer['code'] ?? answer['message']);",
    `print(answer['${member}']);`,
  );
}
