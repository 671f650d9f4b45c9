/** A registry on a directory of its own for tests, asked without a socket. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { ContentStore, digestOf } from '#content/content-store.ts';
import { GraphDb } from '#graphdb/graphdb.ts';
import { openToAll } from '../auth/authorizer.ts';
import { handle } from '../handle.ts';
import { MEDIA } from '../manifest.ts';
import { Registry, type RegistryOptions } from '../registry.ts';

type Changes = Partial<Omit<RegistryOptions, 'content' | 'db' | 'now'>>;

export class TestRegistry implements Disposable {
  readonly root: string;
  nowMs = Date.now();
  #registry: Registry;
  #db: GraphDb;
  readonly #changes: Changes;

  constructor(changes: Changes = {}) {
    this.root = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-registry-'));
    this.#changes = changes;
    [this.#registry, this.#db] = this.#open();
  }

  get registry(): Registry {
    return this.#registry;
  }

  /** As after the server was killed: nothing is told to the old one. */
  reopen(): void {
    this.#db.close();
    [this.#registry, this.#db] = this.#open();
  }

  async ask(
    method: string,
    target: string,
    init: { body?: string | Uint8Array | ReadableStream<Uint8Array>; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    return handle(this.#registry, new Request(`http://registry${target}`, { method, ...init }));
  }

  /** The code of a failure and its status. */
  async failure(
    method: string,
    target: string,
    init: { body?: string | Uint8Array | ReadableStream<Uint8Array>; headers?: Record<string, string> } = {},
  ): Promise<string> {
    const answer = await this.ask(method, target, init);
    const body: unknown = JSON.parse((await answer.text()) || 'null');
    const code: unknown = body === null ? '' : Reflect.get(Object(body), 'errors');
    const first: unknown = Array.isArray(code) ? code[0] : undefined;
    return `${answer.status} ${String(Reflect.get(Object(first ?? {}), 'code'))}`;
  }

  async push(name: string, content: string | Uint8Array): Promise<string> {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes);
    const answer = await this.ask('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: bytes });
    if (answer.status !== 201)
      throw new Error(`the push of a blob ended with ${answer.status}: ${await answer.text()}`);
    return digest;
  }

  /** An image of one layer; `more` goes into its manifest. */
  async pushImage(name: string, tag: string, layer: string, more: Record<string, unknown> = {}): Promise<string> {
    const manifest = await this.manifestOf(name, layer, more);
    const answer = await this.ask('PUT', `/v2/${name}/manifests/${tag}`, {
      body: manifest,
      headers: { 'content-type': MEDIA.ociManifest },
    });
    if (answer.status !== 201) throw new Error(`the push ended with ${answer.status}: ${await answer.text()}`);
    return answer.headers.get('docker-content-digest') ?? '';
  }

  async manifestOf(name: string, layer: string, more: Record<string, unknown> = {}): Promise<string> {
    const config = await this.push(name, '{}');
    const digest = await this.push(name, layer);
    return JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 2 },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: Buffer.byteLength(layer) }],
      ...more,
    });
  }

  #open(): [Registry, GraphDb] {
    const db = GraphDb.open(path.join(this.root, 'registry.db'));
    const registry = new Registry({
      content: ContentStore.open(this.root),
      db,
      authorizer: openToAll,
      readOnly: false,
      allowDelete: true,
      page: true,
      limits: { blobBytesMax: 1 << 30 },
      graceMs: 3600_000,
      collectUntagged: false,
      ...this.#changes,
      now: () => this.nowMs,
    });
    return [registry, db];
  }

  [Symbol.dispose](): void {
    this.#db.close();
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}
