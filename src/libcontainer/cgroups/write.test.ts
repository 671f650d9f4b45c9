/** Writes that are taken back: on a directory of plain files, which obey as cgroup files do. */
import { expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { kernelLimits } from './kernel-limits.ts';
import { applyAll } from './write.ts';

function group(files: Readonly<Record<string, string>>) {
  const directory = mkdtempSync(`${tmpdir()}/berth-cgroup-`);
  for (const [name, text] of Object.entries(files)) writeFileSync(`${directory}/${name}`, text);
  return {
    directory,
    read: (name: string) => readFileSync(`${directory}/${name}`, 'utf8'),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

test('taking back writes what each file said, the lines of a device alone', () => {
  using g = group({
    'memory.max': 'max\n',
    'io.weight': 'default 100\n8:0 50\n',
    'io.max': '8:0 rbps=1000 wbps=max\n8:16 rbps=2 wbps=3\n',
    'cpu.max': 'max 100000\n',
  });
  const { directory } = g;
  const put = (file: string, value: string) => ({ directory, file, value, field: file });
  const goBack = applyAll([put('memory.max', '5'), put('io.weight', '200'), put('cpu.max', '5 10')]);
  expect([g.read('memory.max'), g.read('cpu.max')]).toEqual(['5', '5 10']);
  goBack();
  expect([g.read('memory.max'), g.read('io.weight'), g.read('cpu.max')]).toEqual(['max', 'default 100', 'max 100000']);
  writeFileSync(`${directory}/io.max`, '8:0 rbps=1000 wbps=max\n');
  applyAll([put('io.max', '8:0 rbps=9')])();
  expect(g.read('io.max')).toBe('8:0 rbps=1000');
  writeFileSync(`${directory}/io.max`, '');
  applyAll([put('io.max', '8:0 wbps=9')])();
  expect(g.read('io.max')).toBe('8:0 wbps=max');
});

test.each([1, 2, 3])('a failure at write %i leaves nothing of those before it', (k) => {
  using g = group({ one: 'a\n', two: 'b\n', three: 'c\n' });
  const { directory } = g;
  const names = ['one', 'two', 'three'];
  rmSync(`${directory}/${names[k - 1]}`);
  // A directory in its place: it cannot be written.
  const writes = names.map((file, i) => ({
    directory: i === k - 1 ? `${directory}/nosuch` : directory,
    file,
    value: 'x',
    field: file,
  }));
  expect(() => applyAll(writes)).toThrow();
  for (const [i, name] of names.entries()) if (i < k - 1) expect(g.read(name)).toBe(['a', 'b', 'c'][i] ?? '');
});

test('which limits there are, by controllers and files', () => {
  const v2 = (controllers: readonly string[]) =>
    kernelLimits({ version: 2, systemd: false, mountPoint: '/nosuch', controllers }, () => false);
  expect(v2(['cpu', 'memory', 'io', 'pids', 'cpuset'])).toMatchObject({
    memory: true,
    swap: true,
    swappiness: false,
    oomKillDisable: false,
    cpuCfs: true,
    cpuRealtime: false,
    blkioWeight: true,
    blkioReadBps: true,
    pids: true,
  });
  expect(v2(['pids'])).toMatchObject({
    memory: false,
    swap: false,
    cpuShares: false,
    cpuset: false,
    blkioWeight: false,
  });
  const v1 = kernelLimits(
    {
      version: 1,
      hybrid: true,
      systemd: false,
      hierarchies: [
        { mountPoint: '/m', controllers: ['memory'] },
        { mountPoint: '/b', controllers: ['blkio'] },
      ],
    },
    (file) =>
      ['/m/', '/m/memory.swappiness', '/b/blkio.bfq.weight', '/b/blkio.throttle.read_bps_device'].includes(file),
  );
  expect(v1).toMatchObject({
    memory: true,
    swap: false,
    swappiness: true,
    blkioWeight: true,
    blkioWeightDevice: false,
    blkioReadBps: true,
    blkioWriteBps: false,
    cpuCfs: false,
  });
});
