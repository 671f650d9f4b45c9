/**
 * Authorization plugins: programs that allow or deny each request of the API and each of its answers, asked one after
 * the other in the order of the configuration; the first that denies or fails decides. Nothing is cached, so what a
 * plugin says holds for this request only; a plugin that hangs or has gone denies.
 */
import { forbidden, invalidParameter, messageOf, systemError } from '#errdefs/errors.ts';
import { PluginClient } from './client.ts';
import { PLUGIN_DIRECTORIES, type PluginDirectories } from './discover.ts';

const SUBJECT = 'authz';

/** What the API server tells of a request; of its own making, since nothing here knows the server. */
export interface JudgedRequest {
  readonly user: string;
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  readonly certificates: readonly string[];
}

export interface JudgedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

export class AuthorizationPlugins {
  readonly #directories: PluginDirectories;
  #plugins: readonly PluginClient[] = [];

  constructor(directories: PluginDirectories = PLUGIN_DIRECTORIES) {
    this.#directories = directories;
  }

  get active(): boolean {
    return this.#plugins.length > 0;
  }

  /**
   * Looks for these; they are asked as soon as the answer is called.
   * Errors: those of a plugin's activation; invalid-parameter when it is no plugin for this.
   */
  async prepare(names: readonly string[]): Promise<() => void> {
    const plugins = [...new Set(names)].map((name) => new PluginClient(name, this.#directories));
    for (const plugin of plugins) {
      if (!(await plugin.activate()).includes(SUBJECT)) {
        throw invalidParameter(`plugin "${plugin.name}" does not implement "${SUBJECT}"`);
      }
    }
    return () => {
      this.#plugins = plugins;
    };
  }

  request(facts: JudgedRequest): Promise<void> {
    return this.#ask('AuthZPlugin.AuthZReq', wireRequest(facts));
  }

  response(facts: JudgedRequest, answer: JudgedAnswer | undefined): Promise<void> {
    return this.#ask('AuthZPlugin.AuthZRes', { ...wireRequest(facts), ...wireAnswer(answer) });
  }

  async #ask(method: string, message: unknown): Promise<void> {
    for (const plugin of this.#plugins) {
      let verdict: Record<string, unknown>;
      try {
        verdict = await plugin.call(method, message);
      } catch (error) {
        throw systemError(`plugin ${plugin.name} failed with error: ${messageOf(error)}`, { cause: error });
      }
      if (verdict['Allow'] === true) continue;
      const why = verdict['Msg'];
      throw forbidden(`authorization denied by plugin ${plugin.name}: ${typeof why === 'string' ? why : ''}`);
    }
  }
}

/** As Go leaves out what is empty, and writes bytes. */
function wireRequest({ user, method, target, headers, body, certificates }: JudgedRequest): Record<string, unknown> {
  return {
    ...(user === '' ? {} : { User: user, UserAuthNMethod: 'TLS' }),
    RequestMethod: method,
    RequestUri: target,
    ...bytesOf('RequestBody', body),
    RequestHeaders: headers,
    ...(certificates.length === 0 ? {} : { RequestPeerCertificates: certificates.map((pem) => base64(pem)) }),
  };
}

function wireAnswer(answer: JudgedAnswer | undefined): Record<string, unknown> {
  if (answer === undefined) return {};
  return {
    ResponseStatusCode: answer.status,
    ...bytesOf('ResponseBody', answer.body),
    ResponseHeaders: answer.headers,
  };
}

function bytesOf(name: string, bytes: Uint8Array | undefined): Record<string, string> {
  return bytes === undefined || bytes.length === 0 ? {} : { [name]: base64(bytes) };
}

function base64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes).toString('base64');
}
