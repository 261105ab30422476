// Lambda's Runtime API in a few lines, since the package of AWS's own client for Node compiles C++ to be installed.
// It does less than that client: what there is to it, is in Node's favour.

import http from "node:http";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true });

function call(method, target, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, agent, path: `/2018-06-01/runtime/invocation/${target}` }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

const { handler } = await import(pathToFileURL(path.join(process.env.LAMBDA_TASK_ROOT, process.argv[2])));
for (;;) {
  const { headers, body } = await call("GET", "next");
  const id = headers["lambda-runtime-aws-request-id"];
  const answer = await handler(JSON.parse(body), { awsRequestId: id });
  await call("POST", `${id}/response`, JSON.stringify(answer));
}
