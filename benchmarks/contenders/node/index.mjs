// The same in Node: jsonwebtoken and the AWS SDK v3, flag and credentials kept for as long as Roomkey keeps them.

import { randomUUID } from "node:crypto";
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { GetParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import jwt from "jsonwebtoken";

const environment = process.env.ENVIRONMENT;
const ssm = new SSMClient();
const secrets = new SecretsManagerClient();

function kept(seconds, read) {
  let value;
  let until = 0;
  return async () => {
    if (Date.now() >= until) {
      value = await read();
      until = Date.now() + seconds * 1000;
    }
    return value;
  };
}

const disabled = kept(30, async () => {
  const answer = await ssm.send(new GetParameterCommand({ Name: `/roomkey/${environment}/disabled` }));
  return answer.Parameter.Value !== "false";
});
const credentials = kept(300, async () => {
  const answer = await secrets.send(new GetSecretValueCommand({ SecretId: `roomkey/${environment}/100ms` }));
  return JSON.parse(answer.SecretString);
});

function response(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

export async function handler(event) {
  if (await disabled()) return response(403, { success: false, msg: "Token generation is disabled." });

  const { room_id, role, user_id } = JSON.parse(event.body);
  if (!room_id || !role) return response(400, { success: false, msg: "room_id and role are required." });

  const { app_access_key, app_secret } = await credentials();
  const now = Math.floor(Date.now() / 1000);
  const jti = randomUUID();
  const claims = {
    access_key: app_access_key,
    type: "app",
    version: 2,
    room_id,
    role,
    user_id: user_id ?? randomUUID(),
    jti,
    iat: now,
    nbf: now,
    exp: now + 3600,
  };
  const token = jwt.sign(claims, app_secret, { algorithm: "HS256" });
  console.log(JSON.stringify({ message: "token minted", room_id, role, jti }));
  return response(200, { success: true, token });
}
