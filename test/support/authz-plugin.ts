/** An authorization plugin for tests: notes what it is asked, and answers as it is told. */
import * as fs from 'node:fs';
import * as path from 'node:path';

const SOCKETS = '/run/docker/plugins';

export interface AuthzQuestion {
  readonly method: 'AuthZPlugin.AuthZReq' | 'AuthZPlugin.AuthZRes';
  readonly body: Readonly<Record<string, unknown>>;
}

type Verdict = { Allow: boolean; Msg?: string } | 'hang' | { Err: string };

export class AuthzPlugin implements Disposable {
  readonly name: string;
  readonly socket: string;
  readonly questions: AuthzQuestion[] = [];
  /** Default: everything is allowed. */
  decide: (question: AuthzQuestion) => Verdict = () => ({ Allow: true });
  #server: ReturnType<typeof Bun.serve> | undefined;

  constructor(name: string) {
    this.name = name;
    this.socket = path.join(SOCKETS, `${name}.sock`);
    this.start();
  }

  start(): void {
    fs.mkdirSync(SOCKETS, { recursive: true });
    fs.rmSync(this.socket, { force: true });
    this.#server = Bun.serve({ unix: this.socket, fetch: (request) => this.#answer(request) });
  }

  async stop(): Promise<void> {
    await this.#server?.stop(true);
    fs.rmSync(this.socket, { force: true });
  }

  /** What it was asked for this target, the newest last; the target without its version. */
  asked(method: AuthzQuestion['method'], target: string): AuthzQuestion[] {
    return this.questions.filter(
      (one) => one.method === method && String(one.body['RequestUri']).replace(/^\/v1\.\d+/, '') === target,
    );
  }

  async #answer(request: Request): Promise<Response> {
    const method = new URL(request.url, 'http://plugin').pathname.slice(1);
    if (method === 'Plugin.Activate') return Response.json({ Implements: ['authz'] });
    // as: what the daemon sends is an object, and the tests look at its members one by one.
    const body = (await request.json()) as Record<string, unknown>;
    const question = { method, body } as AuthzQuestion;
    this.questions.push(question);
    const verdict = this.decide(question);
    if (verdict === 'hang') return new Promise<Response>(() => undefined);
    return Response.json(verdict, { status: 'Err' in verdict ? 500 : 200 });
  }

  [Symbol.dispose](): void {
    void this.#server?.stop(true);
    fs.rmSync(this.socket, { force: true });
  }
}
