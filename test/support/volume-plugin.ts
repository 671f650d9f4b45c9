/**
 * A volume plugin for tests: Docker's legacy protocol over a unix socket where dockerd looks for it, volumes as
 * directories. It can be told to hang, to fail, to answer nonsense, and it notes every call.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

const SOCKETS = '/run/docker/plugins';

type Behaviour = 'works' | 'hangs' | 'fails' | 'babbles' | 'relative';

export class VolumePlugin implements Disposable {
  readonly name: string;
  readonly root: string;
  readonly socket: string;
  readonly calls: string[] = [];
  /** By method; 'works' otherwise. */
  readonly behaviour = new Map<string, Behaviour>();
  readonly volumes = new Map<string, Record<string, string>>();
  /** Ids that a volume is mounted for. */
  readonly mounts = new Map<string, Set<string>>();
  #server: ReturnType<typeof Bun.serve> | undefined;

  constructor(name: string, root: string, socket = path.join(SOCKETS, `${name}.sock`)) {
    this.name = name;
    this.root = root;
    this.socket = socket;
    this.start();
  }

  start(): void {
    fs.mkdirSync(path.dirname(this.socket), { recursive: true });
    fs.rmSync(this.socket, { force: true });
    this.#server = Bun.serve({
      unix: this.socket,
      fetch: async (request) =>
        this.#answer(new URL(request.url, 'http://plugin').pathname.slice(1), await request.text()),
    });
  }

  /** As a crash: the socket file stays. */
  async die(): Promise<void> {
    await this.#server?.stop(true);
  }

  #answer(method: string, text: string): Response | Promise<Response> {
    const input = (text === '' ? {} : JSON.parse(text)) as {
      Name?: string;
      ID?: string;
      Opts?: Record<string, string>;
    };
    this.calls.push(`${method} ${input.Name ?? ''}`.trim());
    const behaviour = this.behaviour.get(method) ?? 'works';
    if (behaviour === 'hangs') return new Promise<Response>(() => undefined);
    if (behaviour === 'babbles') return new Response('<html>'.repeat(10));
    if (behaviour === 'fails') return Response.json({ Err: `${method} is out of order` }, { status: 500 });
    return Response.json(this.#work(method, input, behaviour));
  }

  #work(method: string, input: { Name?: string; ID?: string; Opts?: Record<string, string> }, behaviour: Behaviour) {
    const { Name: name = '', ID: id = '' } = input;
    const place = path.join(this.root, name);
    const shown = (one: string) => ({ Name: one, Mountpoint: path.join(this.root, one), Status: { state: 'fine' } });
    switch (method) {
      case 'Plugin.Activate':
        return { Implements: ['VolumeDriver'] };
      case 'VolumeDriver.Capabilities':
        return { Capabilities: { Scope: 'global' } };
      case 'VolumeDriver.Create':
        fs.mkdirSync(place, { recursive: true });
        this.volumes.set(name, input.Opts ?? {});
        return { Err: '' };
      case 'VolumeDriver.Remove':
        if (!this.volumes.delete(name)) return { Err: `no volume ${name} here` };
        fs.rmSync(place, { recursive: true, force: true });
        return { Err: '' };
      case 'VolumeDriver.Mount': {
        const ids = this.mounts.get(name) ?? new Set<string>();
        this.mounts.set(name, ids.add(id));
        return { Mountpoint: behaviour === 'relative' ? 'some/where' : place };
      }
      case 'VolumeDriver.Unmount':
        this.mounts.get(name)?.delete(id);
        return {};
      case 'VolumeDriver.Get':
        return this.volumes.has(name) ? { Volume: shown(name) } : { Err: 'no such volume' };
      case 'VolumeDriver.List':
        return { Volumes: [...this.volumes.keys()].map(shown) };
      default:
        return { Err: `what is ${method}?` };
    }
  }

  [Symbol.dispose](): void {
    void this.#server?.stop(true);
    fs.rmSync(this.socket, { force: true });
  }
}
