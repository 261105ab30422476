// Fetch tokens through LiveKit's TokenSource.endpoint: URL, then for each fetch a JSON object {options, headers}.
// Print one JSON line for each: the response, or {"error": message}.
import { TokenSource } from 'livekit-client';

const [url, ...fetches] = process.argv.slice(2);
for (const { options, headers, query } of fetches.map((text) => JSON.parse(text))) {
  const source = TokenSource.endpoint(url + (query ?? ''), { headers });
  try {
    console.log(JSON.stringify(await source.fetch(options)));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
process.exit(0);
