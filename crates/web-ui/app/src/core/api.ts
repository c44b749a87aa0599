// Requests to the service that served the page. Paths are relative: all pages lie one level below the
// root of the service, so a relative path holds under any prefix.

/** What the server, or the way to it, had against a request. */
export class ApiError extends Error {
  constructor(
    message: string,
    /** `errorType` of API v1, or `network` and `http`. */
    readonly kind: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** An answer of API v1. */
export interface Answer<T> {
  data: T;
  warnings: string[];
  infos: string[];
}

export type Params = Record<string, string | number | boolean | string[] | undefined>;

export function encodeParams(params: Params): string {
  const encoded = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (Array.isArray(value)) value.forEach((v) => encoded.append(key, v));
    else if (value !== undefined && value !== '') encoded.append(key, String(value));
  }
  return encoded.toString();
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { credentials: 'same-origin', ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError('The server does not answer. Is it running?', 'network', 0);
  }
}

/** GET (or POST, for what may be long) below `api/v1`. */
export async function v1<T>(path: string, params: Params = {}, options: { signal?: AbortSignal; post?: boolean } = {}): Promise<Answer<T>> {
  const encoded = encodeParams(params);
  const response = options.post
    ? await send(`api/v1/${path}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
        body: encoded,
        signal: options.signal,
      })
    : await send(encoded ? `api/v1/${path}?${encoded}` : `api/v1/${path}`, { signal: options.signal });
  const body = await readJson(response);
  if (body?.status === 'success') {
    return { data: body.data as T, warnings: body.warnings ?? [], infos: body.infos ?? [] };
  }
  throw new ApiError(body?.error ?? failure(response), body?.errorType ?? 'http', response.status);
}

/** A request whose answer is plain JSON (API v2, and our own endpoints). */
export async function json<T>(path: string, init: RequestInit = {}): Promise<T> {
  const response = await send(path, init);
  const body = await readJson(response);
  if (!response.ok) {
    const message = typeof body === 'string' ? body : (body?.message ?? body?.error ?? failure(response));
    throw new ApiError(message, 'http', response.status);
  }
  return body as T;
}

export function postJson<T>(path: string, body: unknown): Promise<T> {
  return json<T>(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
async function readJson(response: Response): Promise<any> {
  const text = await response.text();
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return response.ok ? undefined : { error: text.trim().slice(0, 500) };
  }
}

function failure(response: Response): string {
  return `The server answered ${response.status} ${response.statusText}`.trim();
}
