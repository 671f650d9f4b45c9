/** Hostile Dockerfiles, contexts and base images: nothing of the host is read or written, nothing secret is kept. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { tar } from '../support/base-images.ts';
import { BASE, BuildDirectory } from '../support/build-context.ts';
import { TestDaemon } from '../support/daemon.ts';

const LIMIT_MS = 120_000;
let daemon: TestDaemon;
let canary: string;
beforeAll(async () => {
  daemon = await TestDaemon.start({ noBridge: true });
  canary = path.join(daemon.directory, 'canary');
  fs.mkdirSync(canary);
  fs.writeFileSync(path.join(canary, 'file'), 'host-canary');
}, LIMIT_MS);
afterAll(async () => daemon[Symbol.asyncDispose](), LIMIT_MS);

/** The directory has to be there until the build is over. */
async function built(dockerfile: string, ...args: readonly string[]) {
  using directory = new BuildDirectory(dockerfile, { ok: 'ok' });
  fs.symlinkSync(canary, path.join(directory.path, 'link'));
  fs.symlinkSync('../../../../../../..', path.join(directory.path, 'up'));
  return await daemon.berth(['build', '--network', 'none', ...args, directory.path], { limitMs: LIMIT_MS });
}

describe('links lead nowhere outside', () => {
  test(
    'of a context: COPY, ADD and bind mounts',
    async () => {
      for (const line of [
        'COPY link/file /f',
        'COPY up/etc/hostname /f',
        'RUN --mount=type=bind,source=link,target=/m cat /m/file',
      ]) {
        const result = await built(`FROM ${BASE}\n${line}\n`);
        expect([line, result.code === 0]).toEqual([line, false]);
        expect(result.stderr).not.toContain('host-canary');
      }
    },
    LIMIT_MS,
  );

  test(
    'of a stage: COPY --from, bind and cache mounts, and destinations (CVE-2024-9407, CVE-2024-23651)',
    async () => {
      const stage = `FROM ${BASE} AS evil\nRUN mkdir -p ${canary}; ln -s ${canary} /to-host && ln -s ${canary} /dest\n`;
      const reads = await built(`${stage}FROM ${BASE}\nCOPY --from=evil /to-host/file /f\n`);
      expect(reads.code).not.toBe(0);
      const mounts = await built(`${stage}FROM ${BASE}\nRUN --mount=from=evil,source=/to-host,target=/m cat /m/file\n`);
      expect(mounts.code).not.toBe(0);
      const writes = await built(`${stage}FROM evil\nCOPY ok /dest/written\nRUN test -e ${canary}/written\n`);
      expect([writes.code, fs.readdirSync(canary)]).toEqual([0, ['file']]);
      const cache = await built(
        `FROM ${BASE}\nRUN --mount=type=cache,target=/c,id=evil ln -sfn ${canary} /c/sub\n` +
          `RUN --mount=type=cache,target=/c,id=evil sh -c 'cat /c/sub/file && exit 1 || echo written > /c/x'\n`,
      );
      expect([cache.code, fs.readdirSync(canary)]).toEqual([0, ['file']]);
    },
    LIMIT_MS,
  );

  test(
    'of a step: mount points that become links are not removed elsewhere (CVE-2024-23652)',
    async () => {
      const result = await built(
        `FROM ${BASE}\nRUN --mount=type=tmpfs,target=/a/b/file rm -rf /x; mkdir /moved; ln -s ${canary} /other\n` +
          `RUN --mount=type=bind,source=ok,target=/s/file true; ln -s ${canary} /s2\n`,
      );
      expect([result.code, fs.readFileSync(path.join(canary, 'file'), 'utf8')]).toEqual([0, 'host-canary']);
    },
    LIMIT_MS,
  );

  test(
    'of an uploaded tar',
    async () => {
      const entries = [
        { name: 'Dockerfile', type: '0' as const, mode: 0o644, content: Buffer.from(`FROM ${BASE}\nCOPY . /all\n`) },
        { name: 'out', type: '2' as const, mode: 0o777, link: canary },
        { name: 'out/planted', type: '0' as const, mode: 0o644, content: Buffer.from('planted') },
        { name: '../../planted', type: '0' as const, mode: 0o644, content: Buffer.from('planted') },
      ];
      const response = await fetch('http://d/build', { unix: daemon.socket, method: 'POST', body: tar(entries) });
      await response.text();
      expect(fs.readdirSync(canary)).toEqual(['file']);
      expect(fs.existsSync(path.join(daemon.dataRoot, 'planted'))).toBe(false);
    },
    LIMIT_MS,
  );
});

describe('what is nobody else’s', () => {
  test(
    'a secret is in no layer, history, record or log of the data root',
    async () => {
      const value = `s3cr3t-${crypto.randomUUID()}`;
      const file = path.join(daemon.directory, 'secret.txt');
      fs.writeFileSync(file, value);
      const dockerfile = `FROM ${BASE}\nRUN --mount=type=secret,id=k test -s /run/secrets/k\nRUN --mount=type=secret,id=k,env=K test -n "$K"\n`;
      const result = await built(dockerfile, '-t', 'with-secret', '--secret', `id=k,src=${file}`);
      expect(result.code).toBe(0);
      const found = Bun.spawnSync(['grep', '-rl', '--binary-files=text', value, daemon.dataRoot, daemon.execRoot]);
      expect(found.stdout.toString()).toBe('');
      expect(daemon.log).not.toContain(value);
      expect((await daemon.must(['history', '--no-trunc', 'with-secret'])).includes(value)).toBe(false);
    },
    LIMIT_MS,
  );

  test(
    'the result of one configuration is not taken for another (CVE-2024-24557)',
    async () => {
      const run = 'RUN id -u > /who 2>/dev/null; echo $A >> /who';
      await built(`FROM ${BASE}\nENV A=evil\n${run}\n`);
      const other = await built(`FROM ${BASE}\nENV A=good\nUSER 0:0\n${run}\n`, '-t', 'good', '--progress', 'plain');
      expect(other.stderr).not.toContain('CACHED');
      expect(await daemon.must(['run', '--rm', '--network', 'none', 'good', 'cat', '/who'])).toBe('0\ngood');
    },
    LIMIT_MS,
  );

  test(
    'git references that climb or look like options are refused (CVE-2026-33748)',
    async () => {
      for (const remote of ['https://127.0.0.1:1/r.git#main:../../etc', 'https://127.0.0.1:1/r.git#--upload-pack=x']) {
        const target = `http://d/build?remote=${encodeURIComponent(remote)}`;
        const response = await fetch(target, { unix: daemon.socket, method: 'POST' });
        expect(response.status).toBe(400);
        expect(await response.text()).toContain('invalid git');
      }
    },
    LIMIT_MS,
  );
});
