import { createHash, randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

export interface Options {
  apiKey?: string;
  password?: string;
  baseUrl: string;
  timeout?: number;
  headers?: Record<string, string>;
}

const DEFAULTS = { timeout: 30_000, retries: 3, version: "2024-03-11", agent: "client/1.4.2 node/20.11.1" } as const;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
const MAX_SAFE = 9007199254740991;

export class ApiError extends Error {
  constructor(readonly status: number, readonly requestId: string, message: string) {
    super(message);
  }
}

export class Client {
  readonly #apiKey: string;
  constructor({ apiKey = process.env.API_KEY, baseUrl, timeout = DEFAULTS.timeout }: Options) {
    if (!apiKey) throw new TypeError("apiKey is required: pass it, or set API_KEY");
    this.#apiKey = apiKey;
  }

  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    const id = randomUUID();
    const answer = await fetch(new URL(path, "http://localhost:3000"), {
      headers: { authorization: `Bearer ${this.#apiKey}`, "x-request-id": id, "x-version": DEFAULTS.version },
      signal,
    });
    if (!answer.ok) throw new ApiError(answer.status, id, await answer.text());
    return (await answer.json()) as T;
  }

  etag(body: string): string {
    return `W/"${createHash("sha1").update(body).digest("base64url")}"`;
  }
}

export const isSecret = (name: string): boolean => /(?:pass|secret|token|key)$/i.test(name);
export type Token = { access_token: string; token_type: "bearer"; expires_in: number };
