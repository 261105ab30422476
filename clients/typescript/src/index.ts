/** A client of a Roomkey stack, for browsers, React Native and Node 18 or newer. No dependencies. */

/** A field of the request that Roomkey refused, and why. */
export interface FieldError {
  field: string;
  reason: string;
}

/** The request of an app token. Each platform takes some of these fields. */
export interface AppTokenRequest {
  room_id?: string;
  role?: string;
  permissions?: string[];
  user_id?: string;
  services?: string[];
  display_name?: string;
  email?: string;
  avatar_url?: string;
  /** Lifetime in seconds. */
  expires_in?: number;
}

export interface IceServer {
  urls: string[];
  username: string;
  credential: string;
}

/** The reply to a request for a token. */
export interface TokenReply {
  token: string;
  /** Unix time in seconds. A device's clock may be wrong: count `expires_in` instead. */
  expires_at: number;
  /** Seconds until the token expires. */
  expires_in: number;
  /** Seconds until a running session needs the next token. Missing where the platform never renews one. */
  renew_in?: number;
  user_id?: string;
  room_id?: string;
  role?: string;
  platform?: string;
  /** Values that the platform's SDK needs besides the token, such as LiveKit's `server_url`. */
  connect?: Record<string, any>;
  /** With `turn`, instead of `token`. */
  ice_servers?: IceServer[];
  /** With a management token: how to send it to the vendor's API. */
  authorization?: { header: string; prefix: string };
}

/** Roomkey, or API Gateway in front of it, refused the request. */
export class RoomkeyError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** Roomkey's code, or `gateway-STATUS` if API Gateway refused by itself. */
  readonly code: string;
  readonly requestId?: string;
  /** The fields at fault, for `invalid-request`. */
  readonly errors: FieldError[];
  /** Seconds, from the `Retry-After` header; 0 if it is missing. */
  readonly retryAfter: number;

  constructor(status: number, body: Record<string, any> = {}, retryAfter = 0) {
    const errors: FieldError[] = Array.isArray(body.errors) ? body.errors : [];
    const reasons = errors.map(({ field, reason }) => ` ${field}: ${reason}`).join(';');
    super((body.msg ?? body.message ?? `HTTP ${status}`) + reasons);
    this.name = 'RoomkeyError';
    this.status = status;
    this.code = typeof body.code === 'string' ? body.code : (body.reason ?? `gateway-${status}`);
    this.requestId = body.request_id;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return this.status === 429 || this.status >= 500;
  }
}

export interface Options {
  /** Return the access token of the signed-in user. Leave it out where access is `open` or `iam`. */
  accessToken?: () => string | Promise<string>;
  /** Replace `fetch`, for example by one that signs with AWS credentials. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Seconds until one attempt is given up. */
  timeout?: number;
  /** Wait for a number of seconds. Tests replace it. */
  wait?: (seconds: number) => Promise<void>;
  /** Return a number from 0 to 1. Tests replace it. */
  random?: () => number;
  /** Return the time in seconds, from any start. Tests replace it. */
  now?: () => number;
}

const ATTEMPTS = 3;
const MAX_RETRY_AFTER_SECONDS = 5;
const SPARE_SECONDS = 60;

export class Roomkey {
  private readonly api: string;
  private readonly options: Required<Omit<Options, 'accessToken'>> & Options;
  private readonly management = new Map<string, { reply: Promise<TokenReply>; until: number }>();

  /** `api` is the stack's output `ApiUrl`. */
  constructor(api: string, options: Options = {}) {
    this.api = api.replace(/\/+$/, '');
    this.options = {
      fetch: (url, init) => fetch(url, init),
      timeout: 10,
      wait: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
      random: Math.random,
      now: () => Date.now() / 1000,
      ...options,
    };
  }

  /** Request a token with which a person joins a room. Rejects with `RoomkeyError`, or with the error of `fetch`. */
  appToken(platform: string, request: AppTokenRequest): Promise<TokenReply> {
    return this.post(`/v1/${platform}/app-token`, request);
  }

  /** Exchange an invite for the token of a guest. Pass the `user_id` of an earlier reply to stay the same guest. */
  redeemInvite(invite: string, guest: { user_id?: string; guest_name?: string } = {}): Promise<TokenReply> {
    return this.post('/v1/invites/redeem', { invite, ...guest });
  }

  /**
   * Call `onToken` with the first token, and with a new one each time the session needs it, until `stop()` is called.
   * `onError` receives a failed renewal; the next attempt follows after a minute while the error is retryable.
   * Rejects if the first token is refused.
   */
  async keepRenewed(
    platform: string,
    request: AppTokenRequest,
    onToken: (reply: TokenReply) => void | Promise<void>,
    onError: (error: unknown) => void = () => {},
  ): Promise<{ stop: () => void }> {
    let stopped = false;
    let reply = await this.appToken(platform, request);
    await onToken(reply);
    const loop = async () => {
      let seconds = reply.renew_in;
      while (seconds !== undefined && !stopped) {
        await this.options.wait(seconds);
        if (stopped) return;
        try {
          // Renewal requires the same user: a random user_id would differ in the next token.
          reply = await this.appToken(platform, { ...request, ...(reply.user_id && { user_id: reply.user_id }) });
          seconds = reply.renew_in;
          await onToken(reply);
        } catch (error) {
          onError(error);
          if (error instanceof RoomkeyError && !error.retryable) return;
          seconds = SPARE_SECONDS;
        }
      }
    };
    void loop();
    return { stop: () => { stopped = true; } };
  }

  /** Return the header that authorizes a server at the platform's API. Backends only; cached while 60 s are left. */
  async managementHeader(platform: string, request: Record<string, unknown> = {}): Promise<Record<string, string>> {
    const key = platform + JSON.stringify(request);
    let cached = this.management.get(key);
    if (!cached || this.options.now() >= cached.until) {
      const entry = { reply: this.post(`/v1/${platform}/management-token`, request), until: Infinity };
      this.management.set(key, (cached = entry));
      entry.reply.then(
        ({ expires_in }) => { entry.until = this.options.now() + expires_in - SPARE_SECONDS; },
        () => { entry.until = 0; },
      );
    }
    const { authorization, token } = await cached.reply;
    return authorization ? { [authorization.header]: authorization.prefix + token } : {};
  }

  /** Drop cached management tokens, after the vendor refused one. */
  forget(): void {
    this.management.clear();
  }

  /** POST `body` to `path`. Retries network errors, 429 and 5xx up to twice. */
  async post(path: string, body: object): Promise<TokenReply> {
    for (let attempt = 1, pause = 1; ; attempt += 1, pause *= 2) {
      try {
        return await this.once(path, body);
      } catch (error) {
        const refused = error instanceof RoomkeyError ? error : undefined;
        const final = (refused && !refused.retryable) || (refused?.retryAfter ?? 0) > MAX_RETRY_AFTER_SECONDS;
        if (final || attempt === ATTEMPTS) throw error;
        await this.options.wait((refused?.retryAfter || pause) * (1 + this.options.random()));
      }
    }
  }

  private async once(path: string, body: object): Promise<TokenReply> {
    const headers: Record<string, string> = { 'Content-Type': 'application/json' };
    if (this.options.accessToken) headers.Authorization = `Bearer ${await this.options.accessToken()}`;
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), this.options.timeout * 1000);
    try {
      const response = await this.options.fetch(this.api + path, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
        signal: controller.signal,
      });
      const reply = await response.json().catch(() => ({}));
      if (response.ok && (reply?.token || reply?.ice_servers)) return reply;
      throw new RoomkeyError(response.status, reply ?? {}, Number(response.headers.get('Retry-After')) || 0);
    } finally {
      clearTimeout(timer);
    }
  }
}
