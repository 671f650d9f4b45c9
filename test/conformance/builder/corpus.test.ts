/**
 * The corpus, built by us and by Debian's dockerd: equal files and configuration. What dockerd made of it is kept in
 * golden.json (`BERTH_CORPUS_PEER=1 bun test …` builds it there again and writes it), so that this takes seconds.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { TarParser, type TarSink } from '#pkg/archive/parser.ts';
import type { TarEntry } from '#pkg/archive/entry.ts';
import { busyboxImage } from '../../support/base-images.ts';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import type { CommandResult } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Dockerd } from '../../support/dockerd.ts';
import { type Case, own, peer } from './corpus.ts';

const LIMIT_MS = 120_000;
let daemon: TestDaemon;
let dockerd: Dockerd | undefined;
const GOLDEN = path.join(import.meta.dir, 'golden.json');
// as: written below.
const golden = (fs.existsSync(GOLDEN) ? JSON.parse(fs.readFileSync(GOLDEN, 'utf8')) : {}) as Record<string, unknown>;
const again: Record<string, unknown> = {};
beforeAll(async () => {
  daemon = await TestDaemon.start({ noBridge: true });
  if (process.env['BERTH_CORPUS_PEER'] !== '1') return;
  dockerd = await Dockerd.start();
  const image = await busyboxImage();
  const loaded = await dockerd.docker(['load', '-q', '-i', image.path]);
  if (loaded.code !== 0) throw new Error(loaded.stderr);
}, LIMIT_MS);
afterAll(async () => {
  if (dockerd !== undefined) fs.writeFileSync(GOLDEN, `${JSON.stringify(again, undefined, 1)}\n`);
  await dockerd?.[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
}, LIMIT_MS);

const directoryOf = ({ dockerfile, files }: Case): BuildDirectory => new BuildDirectory(dockerfile, files);

/** What a start makes, and what daemons put into an export. */
const ENGINES = /^(?:\.dockerenv|dev|dev\/.*|proc|sys|etc|etc\/(?:hosts|hostname|resolv\.conf|mtab))\/?$/;

class Listing implements TarSink {
  readonly files = new Map<string, string>();
  #hash = createHash('sha256');
  #entry: TarEntry | undefined;

  entry(entry: TarEntry): void {
    this.#entry = entry;
    this.#hash = createHash('sha256');
    if (entry.size === 0) this.end();
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.#hash.update(chunk.subarray(start, end));
  }

  end(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    this.#entry = undefined;
    const { path, type, mode, uid, gid, linkPath } = entry;
    const name = path.replace(/^\.?\//, '').replace(/\/$/, '');
    if (name === '' || ENGINES.test(name)) return;
    const content = type === 'file' ? this.#hash.digest('hex').slice(0, 12) : linkPath.replace(/^\.?\//, '');
    this.files.set(name, `${type} ${mode.toString(8)} ${uid}:${gid} ${content}`);
  }

  finish(): void {}
}

type Docker = (args: readonly string[]) => Promise<CommandResult>;

async function filesOf(docker: Docker, socket: string, image: string): Promise<Map<string, string>> {
  const created = await docker(['create', '--network', 'none', image, '/none']);
  const container = created.stdout.trim();
  if (created.code !== 0) throw new Error(created.stderr);
  const response = await fetch(`http://d/containers/${container}/export`, { unix: socket });
  const listing = new Listing();
  const parser = new TarParser(listing);
  parser.push(Buffer.from(await response.arrayBuffer()));
  parser.finish();
  await docker(['rm', '-v', container]);
  return listing.files;
}

const bases = new Map<string, Map<string, string>>();

/** The configuration, and how the files differ from the base image's. */
async function resultOf(docker: Docker, socket: string, image: string): Promise<unknown> {
  const base = bases.get(socket) ?? (await filesOf(docker, socket, BASE));
  bases.set(socket, base);
  const files = await filesOf(docker, socket, image);
  const isOfBase = files.has('bin/busybox');
  const differs = [...files].filter(([name, is]) => base.get(name) !== is).sort(([a], [b]) => (a < b ? -1 : 1));
  const config: unknown = JSON.parse((await docker(['inspect', '-f', '{{json .Config}}', image])).stdout);
  const get = (name: string): unknown =>
    typeof config === 'object' && config !== null ? Reflect.get(config, name) : undefined;
  const isNothing = (value: unknown): boolean =>
    value === undefined || ['""', '{}', '[]'].includes(JSON.stringify(value));
  const entries = CONFIG.map((name): [string, unknown] => [name, isNothing(get(name)) ? null : get(name)]);
  return {
    config: Object.fromEntries(entries.filter(([, value]) => value !== null)),
    files: Object.fromEntries(differs),
    gone: isOfBase ? [...base.keys()].filter((name) => !files.has(name)).sort() : 'scratch',
  };
}

const CONFIG = [
  ...['Env', 'Cmd', 'Entrypoint', 'User', 'WorkingDir', 'Labels', 'ExposedPorts', 'Volumes', 'StopSignal'],
  ...['Healthcheck', 'OnBuild', 'Shell'],
];

describe('as dockerd builds it', () => {
  for (const [index, one] of peer.entries()) {
    test(
      one.name,
      async () => {
        using directory = directoryOf(one);
        const build = [
          'build',
          '-q',
          '--network',
          'none',
          '-t',
          `corpus:${index}`,
          ...(one.args ?? []),
          directory.path,
        ];
        const options = { env: { DOCKER_BUILDKIT: '0' } };
        const ours = await daemon.docker(build, options);
        expect([ours.code, ours.code === 0 ? '' : ours.stderr]).toEqual([0, '']);
        const peerDaemon = dockerd;
        if (peerDaemon !== undefined) {
          expect((await peerDaemon.docker(build, options)).code).toBe(0);
          const theirs = (args: readonly string[]) => peerDaemon.docker(args);
          again[one.name] = await resultOf(theirs, peerDaemon.socket, `corpus:${index}`);
        }
        const is = await resultOf((args) => daemon.docker(args), daemon.socket, `corpus:${index}`);
        const should = again[one.name] ?? golden[one.name];
        expect(should).toBeDefined();
        expect(is).toEqual(should);
      },
      LIMIT_MS,
    );
  }
});

describe('beyond the classic builder', () => {
  for (const one of own) {
    test(
      one.name,
      async () => {
        using directory = directoryOf(one);
        const built = await daemon.berth(['build', '--network', 'none', ...(one.args ?? []), directory.path], {
          env: { CORPUS_SECRET: 'corpus-secret' },
        });
        if (one.fails === undefined) expect([built.code, built.code === 0 ? '' : built.stderr]).toEqual([0, '']);
        else {
          expect(built.code).not.toBe(0);
          expect(built.stderr).toContain(one.fails);
        }
      },
      LIMIT_MS,
    );
  }
});
