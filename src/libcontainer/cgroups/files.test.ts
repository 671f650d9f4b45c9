/** Resources → files, both versions in one table: the same limit, side by side. */
import { describe, expect, test } from 'bun:test';
import type { DeviceRule, Resources } from '#libcontainer/spec.ts';
import { deviceProgram } from './device-program.ts';
import { deviceChange, deviceLines } from './v1-devices.ts';
import { v1Writes } from './v1-files.ts';
import { v2Writes } from './v2-files.ts';
import type { CgroupFacts } from './write.ts';

const facts = (files: Readonly<Record<string, string>>): CgroupFacts => ({
  has: (file) => file in files,
  read: (file) => files[file],
});
const V1 = { 'blkio.weight': '', 'memory.limit_in_bytes': '1000' };
const V2 = { 'io.weight': '', 'hugetlb.2MB.rsvd.max': '' };
const v1 = (resources: Resources, files: Readonly<Record<string, string>> = V1) =>
  v1Writes(resources, () => facts(files)).map((w) => `${w.controller}/${w.file}=${w.value}`);
const v2 = (resources: Resources, files: Readonly<Record<string, string>> = V2) =>
  v2Writes(resources, facts(files)).map((w) => `${w.file}=${w.value}`);

const cases: readonly [string, Resources, readonly string[], readonly string[]][] = [
  ['nothing', {}, [], []],
  [
    'memory and swap, growing',
    { memory: { limit: 2000, swap: 3000, reservation: 500 } },
    [
      'memory/memory.memsw.limit_in_bytes=3000',
      'memory/memory.limit_in_bytes=2000',
      'memory/memory.soft_limit_in_bytes=500',
    ],
    ['memory.swap.max=1000', 'memory.max=2000', 'memory.low=500'],
  ],
  [
    'memory and swap, shrinking',
    { memory: { limit: 100, swap: 200 } },
    ['memory/memory.limit_in_bytes=100', 'memory/memory.memsw.limit_in_bytes=200'],
    ['memory.swap.max=100', 'memory.max=100'],
  ],
  [
    'no limit on memory is none on swap',
    { memory: { limit: -1 } },
    ['memory/memory.memsw.limit_in_bytes=-1', 'memory/memory.limit_in_bytes=-1'],
    ['memory.swap.max=max', 'memory.max=max'],
  ],
  [
    'what the stock CLI sends unasked',
    {
      memory: { swappiness: -1, disableOOMKiller: false, kernel: 0 },
      pids: { limit: 0 },
      cpu: { shares: 0, cpus: '' },
    },
    ['pids/pids.max=max'],
    ['pids.max=max'],
  ],
  [
    'processor',
    { cpu: { shares: 1024, quota: 50_000, period: 100_000, cpus: '0-1', mems: '0', idle: 0, burst: 10 } },
    [
      'cpu/cpu.shares=1024',
      'cpu/cpu.idle=0',
      'cpu/cpu.cfs_period_us=100000',
      'cpu/cpu.cfs_quota_us=50000',
      'cpu/cpu.cfs_burst_us=10',
      'cpuset/cpuset.cpus=0-1',
      'cpuset/cpuset.mems=0',
    ],
    ['cpu.idle=0', 'cpu.weight=100', 'cpu.max=50000 100000', 'cpu.max.burst=10', 'cpuset.cpus=0-1', 'cpuset.mems=0'],
  ],
  [
    'block devices',
    {
      blockIO: {
        weight: 500,
        weightDevice: [{ major: 8, minor: 0, weight: 10 }],
        throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }],
        throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 0 }],
        throttleReadIOPSDevice: [{ major: 8, minor: 0, rate: 3 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 4 }],
      },
    },
    [
      'blkio/blkio.weight=500',
      'blkio/blkio.weight_device=8:0 10',
      'blkio/blkio.throttle.read_bps_device=8:0 1',
      'blkio/blkio.throttle.write_bps_device=8:0 0',
      'blkio/blkio.throttle.read_iops_device=8:0 3',
      'blkio/blkio.throttle.write_iops_device=8:0 4',
    ],
    [
      'io.weight=4950',
      'io.weight=8:0 1',
      'io.max=8:0 rbps=1',
      'io.max=8:0 wbps=max',
      'io.max=8:0 riops=3',
      'io.max=8:0 wiops=4',
    ],
  ],
  [
    'huge pages and pids',
    { hugepageLimits: [{ pageSize: '2MB', limit: 4096 }], pids: { limit: 7 } },
    ['pids/pids.max=7', 'hugetlb/hugetlb.2MB.limit_in_bytes=4096'],
    ['pids.max=7', 'hugetlb.2MB.max=4096', 'hugetlb.2MB.rsvd.max=4096'],
  ],
];

describe('limits', () => {
  for (const [name, resources, first, second] of cases) {
    test(`${name}: v1`, () => expect(v1(resources)).toEqual([...first]));
    test(`${name}: v2`, () => expect(v2(resources)).toEqual([...second]));
  }
  test('BFQ has weights of its own name', () => {
    const blockIO = { weight: 500, weightDevice: [{ major: 8, minor: 0, weight: 10 }] };
    expect(v1({ blockIO }, { 'blkio.bfq.weight': '', 'blkio.bfq.weight_device': '' })).toEqual([
      'blkio/blkio.bfq.weight=500',
      'blkio/blkio.bfq.weight_device=8:0 10',
    ]);
    expect(v2({ blockIO }, { 'io.bfq.weight': '' })).toEqual(['io.bfq.weight=500', 'io.bfq.weight=8:0 10']);
  });
  test('unified is v2 only, and comes last', () => {
    expect(v2({ pids: { limit: 1 }, unified: { 'pids.max': '2', 'io.max': 'a\nb' } })).toEqual([
      'pids.max=1',
      'pids.max=2',
      'io.max=a',
      'io.max=b',
    ]);
  });
});

describe('refused by name', () => {
  const refusedByV2: readonly [Resources, string][] = [
    [{ memory: { kernel: 1 } }, 'memory.kernel'],
    [{ memory: { kernelTCP: 1 } }, 'memory.kernelTCP'],
    [{ memory: { swappiness: 10 } }, 'memory.swappiness'],
    [{ memory: { disableOOMKiller: true } }, 'memory.disableOOMKiller'],
    [{ cpu: { realtimeRuntime: 1 } }, 'cpu.realtimeRuntime'],
    [{ network: { classID: 1 } }, 'network.classID'],
    [{ blockIO: { leafWeight: 10 } }, 'blockIO.leafWeight'],
    [{ unified: { '../x': '1' } }, 'unified'],
    [{ unified: { 'cgroup.procs': '1' } }, 'unified'],
  ];
  test.each(refusedByV2)('v2: %p', (resources, name) => expect(() => v2(resources)).toThrow(name));
  const refusedByV1: readonly [Resources, string][] = [
    [{ unified: { 'memory.high': '1' } }, 'unified'],
    [{ memory: { swappiness: 101 } }, 'memory.swappiness'],
    [{ rdma: { mlx: { hcaHandles: 1 } } }, 'rdma'],
  ];
  test.each(refusedByV1)('v1: %p', (resources, name) => expect(() => v1(resources)).toThrow(name));
});

describe('devices of v1', () => {
  const text = (lines: ReturnType<typeof deviceLines>) => lines.map(({ file, line }) => `${file.slice(8)} ${line}`);
  test('rules become lines in order', () => {
    const rules = [
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', access: 'm' },
      { allow: true, type: 'c', major: 1, minor: 3 },
      { allow: true, type: 'b', major: 8, access: 'rw' },
      { allow: true, access: 'r' },
      { allow: true, type: 'a', major: -1, minor: -1, access: 'rwm' },
    ];
    expect(text(deviceLines(rules))).toEqual([
      'deny a',
      'allow c *:* m',
      'allow c 1:3 rwm',
      'allow b 8:* rw',
      'allow b *:* r',
      'allow c *:* r',
      'allow a',
    ]);
  });
  test('a change is the difference, additions first', () => {
    const rules = [{ allow: false }, { allow: true, type: 'c', major: 1, minor: 5, access: 'rw' }];
    expect(text(deviceChange('c 1:3 rwm\nc 1:5 rm', rules))).toEqual([
      'allow c 1:5 w',
      'deny c 1:3 rwm',
      'deny c 1:5 m',
    ]);
    expect(text(deviceChange('a *:* rwm', rules))).toEqual(['deny a', 'allow c 1:5 rw']);
    expect(text(deviceChange('c 1:3 rwm', [{ allow: true }]))).toEqual(['allow a']);
    expect(deviceChange('c 1:5 rw', rules)).toEqual([]);
  });
  test('nonsense is refused', () => {
    expect(() => deviceLines([{ allow: true, type: 'x' }])).toThrow('none of a, b, c');
    expect(() => deviceLines([{ allow: true, type: 'c', major: 1.5 }])).toThrow('no device number');
    expect(() => deviceLines([{ allow: true, access: 'rx' }])).toThrow('made of r, w and m');
  });
});

/** Runs the instructions as the kernel would, for one access. */
function interpret(code: Uint8Array, type: number, access: number, major: number, minor: number): number {
  const view = new DataView(code.buffer);
  const context: Readonly<Record<number, number>> = { 0: type | (access << 16), 4: major, 8: minor };
  const registers = Array.from({ length: 11 }, () => 0);
  for (let pc = 0, steps = 0; steps < 10_000; steps++) {
    const op = view.getUint8(8 * pc);
    const to = view.getUint8(8 * pc + 1) & 15;
    const from = view.getUint8(8 * pc + 1) >> 4;
    const offset = view.getInt16(8 * pc + 2, true);
    const immediate = view.getInt32(8 * pc + 4, true);
    const value = registers[to] ?? 0;
    pc++;
    if (op === 0x61) registers[to] = context[offset] ?? 0;
    else if (op === 0xbf) registers[to] = registers[from] ?? 0;
    else if (op === 0xb7) registers[to] = immediate;
    else if (op === 0x57) registers[to] = value & immediate;
    else if (op === 0x77) registers[to] = value >>> immediate;
    else if (op === 0x55) pc += value === immediate ? 0 : offset;
    else if (op === 0x15) pc += value === immediate ? offset : 0;
    else if (op === 0x95) return registers[0] ?? 0;
    else throw new Error(`op ${op}`);
  }
  throw new Error('does not end');
}

test('the device program says for every access what the rules say', () => {
  const deny = { allow: false };
  const lists: readonly (readonly DeviceRule[])[] = [
    [deny, { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' }],
    [deny, { allow: true, type: 'c', major: 1, access: 'r' }, { allow: true, type: 'c', minor: 3, access: 'w' }],
    [{ allow: true }, { allow: false, type: 'b', major: 1, access: 'w' }, { allow: false, type: 'c', minor: 3 }],
    [
      { allow: true, access: 'm' },
      { allow: true, type: 'b', access: 'r' },
    ],
    [],
  ];
  const letters = { m: 1, r: 2, w: 4 };
  for (const rules of lists) {
    const code = deviceProgram(rules);
    for (const type of ['b', 'c'] as const)
      for (const access of [1, 2, 3, 4, 5, 6, 7])
        for (const major of [1, 2])
          for (const minor of [3, 4]) {
            // The meaning, written out: for each asked bit the last rule that speaks of it decides.
            const allowed = Object.values(letters).every((bit) => {
              if ((access & bit) === 0) return true;
              const last = rules.findLast((rule: DeviceRule) => {
                const bits = (['m', 'r', 'w'] as const).some(
                  (l) => letters[l] === bit && (rule.access ?? 'rwm').includes(l),
                );
                const here = (wanted: number | undefined, is: number) => wanted === undefined || wanted === is;
                return bits && (rule.type ?? type) === type && here(rule.major, major) && here(rule.minor, minor);
              });
              return last?.allow ?? false;
            });
            const answer = interpret(code, type === 'b' ? 1 : 2, access, major, minor) === 1;
            expect([rules, type, access, major, minor, answer]).toEqual([rules, type, access, major, minor, allowed]);
          }
  }
});
