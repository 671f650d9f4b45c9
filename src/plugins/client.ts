/**
 * Calls of the legacy plugin protocol: POST /Subject.Method with a JSON body, a JSON answer whose `Err` tells a failure.
 * Every call has a limit and every answer a size, so a plugin that hangs, dies or floods costs its caller an error and
 * the daemon nothing. A connection that cannot be made is tried again for a while: plugins are restarted as well.
 */
import * as fs from 'node:fs';
import { deadlineExceeded, systemError } from '#errdefs/errors.ts';
import { findPlugin, PLUGIN_DIRECTORIES, type PluginAddress, type PluginDirectories } from './discover.ts';

const MEDIA_TYPE = 'application/vnd.docker.plugins.v1.2+json';
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const FIRST_PAUSE_MS = 50;

export interface PluginLimits {
  /** Of one call, from the first try on. */
  readonly callMs: number;
  /** How long a connection that is refused is tried again. */
  readonly retryMs: number;
}

export const PLUGIN_LIMITS: PluginLimits = { callMs: 30_000, retryMs: 5_000 };

export class PluginClient {
  readonly name: string;
  readonly #directories: PluginDirectories;
  readonly #limits: PluginLimits;

  constructor(name: string, directories = PLUGIN_DIRECTORIES, limits = PLUGIN_LIMITS) {
    this.name = name;
    this.#directories = directories;
    this.#limits = limits;
  }

  /** What it implements: 'VolumeDriver' … Errors: not-found; those of `call`. */
  async activate(): Promise<string[]> {
    const answer = await this.call('Plugin.Activate', {});
    const list = answer['Implements'];
    return Array.isArray(list) ? list.filter((one) => typeof one === 'string') : [];
  }

  /**
   * Its answer. Errors: not-found when it announces itself no longer; deadline-exceeded; system with the plugin's own
   * words, or with what became of the connection.
   */
  async call(method: string, body: unknown, limitMs = this.#limits.callMs): Promise<Record<string, unknown>> {
    const began = Date.now();
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      // Looked up at each try: it may have come back elsewhere.
      const plugin = findPlugin(this.name, this.#directories);
      try {
        return await this.#try(plugin, method, body, began + limitMs - Date.now());
      } catch (error) {
        const spent = Date.now() - began + pauseMs;
        if (!isRefused(error) || spent > this.#limits.retryMs || spent > limitMs) throw this.#explain(method, error);
      }
      await Bun.sleep(pauseMs);
      pauseMs *= 2;
    }
  }

  async #try(plugin: PluginAddress, method: string, body: unknown, leftMs: number): Promise<Record<string, unknown>> {
    const { address, tls } = plugin;
    const unix = address.startsWith('unix://') ? address.slice('unix://'.length) : undefined;
    const base =
      unix === undefined ? address.replace(/^tcp:/, tls === undefined ? 'http:' : 'https:') : 'http://plugin';
    const response = await fetch(`${base.replace(/\/$/, '')}/${method}`, {
      method: 'POST',
      headers: { Accept: MEDIA_TYPE, 'Content-Type': MEDIA_TYPE, Connection: 'close' },
      // A connection that is kept could belong to a plugin that has been restarted since.
      keepalive: false,
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(Math.max(1, leftMs)),
      redirect: 'error',
      ...(unix === undefined ? {} : { unix }),
      ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
    });
    const text = await boundedText(response);
    const answer = decode(text);
    const failure = answer['Err'];
    if (typeof failure === 'string' && failure !== '') throw new PluginSaid(failure);
    if (!response.ok) throw new PluginSaid(text.trim().slice(0, 500) || `status ${response.status}`);
    return answer;
  }

  #explain(method: string, error: unknown): Error {
    if (error instanceof PluginSaid) return systemError(`${method}: ${error.message}`, { cause: error });
    if (error instanceof Error && error.name === 'TimeoutError') {
      return deadlineExceeded(`plugin "${this.name}" does not answer ${method}`, { cause: error });
    }
    const why = error instanceof Error ? error.message : String(error);
    return systemError(`plugin "${this.name}" failed at ${method}: ${why}`, { cause: error });
  }
}

/** The plugin's own words: the cause of what `call` throws when it answered and refused. */
export class PluginSaid extends Error {
  override readonly name = 'PluginSaid';
}

function isRefused(error: unknown): boolean {
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined;
  return ['ConnectionRefused', 'ECONNREFUSED', 'FailedToOpenSocket', 'ENOENT'].includes(String(code));
}

function tlsOf(tls: NonNullable<PluginAddress['tls']>): Record<string, unknown> {
  const file = (name: string) => (name === '' ? undefined : fs.readFileSync(name, 'utf8'));
  const entries = { ca: file(tls.caFile), cert: file(tls.certFile), key: file(tls.keyFile) };
  const given = Object.entries(entries).filter(([, value]) => value !== undefined);
  return { rejectUnauthorized: !tls.skipVerify, ...Object.fromEntries(given) };
}

async function boundedText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  // as: the type of an asynchronous iteration over a body says nothing of its parts.
  const body = (response.body ?? []) as AsyncIterable<Uint8Array>;
  for await (const part of body) {
    length += part.length;
    if (length > ANSWER_BYTES_MAX) throw new PluginSaid(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/** An empty answer means "done". */
function decode(text: string): Record<string, unknown> {
  if (text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    // as: an object with unknown values is all that is said.
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Some answer a failure with plain text: the status tells.
  }
  return {};
}
