import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#errdefs/errors.ts';
import { buildConfig, type DaemonConfig, parseConfigFile } from './daemon-config.ts';
import { daemonUsage, parseDaemonFlags } from './flags.ts';
import { keySpecs } from './keys.ts';
import { loadConfig } from './load.ts';

function config(argv: readonly string[] = [], file: unknown = {}): DaemonConfig {
  return buildConfig(parseDaemonFlags(argv).values, parseConfigFile(JSON.stringify(file)));
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return messageOf(error);
  }
  throw new Error('was not refused');
}

describe('defaults', () => {
  test('are those of the documentation', () => {
    const { hosts, dataRoot, execRoot, group, logLevel, stopTimeoutSeconds, storageDriver, bridge, bip } = config();
    expect(hosts).toEqual([{ kind: 'unix', path: '/run/berth.sock' }]);
    expect([dataRoot, execRoot, logLevel, stopTimeoutSeconds]).toEqual(['/var/lib/berth', '/run/berth', 'info', 10]);
    expect([group, storageDriver, bridge, bip]).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe('flags', () => {
  test('all forms of writing one', () => {
    for (const argv of [
      ['-H', 'unix:///a', '-Hunix:///b', '-D', '-l', 'warn'],
      ['--host=unix:///a', '--host', 'unix:///b', '--debug', '--log-level=warn'],
      ['-DHunix:///a', '-H=unix:///b', '--debug=true', '-l=warn'],
    ]) {
      const { hosts, debug } = config(argv);
      expect(hosts.map((h) => (h.kind === 'unix' ? h.path : ''))).toEqual(['/a', '/b']);
      expect(debug).toBe(true);
    }
    expect(config(['--log-opt', 'max-size=1m', '--log-opt=max-file=3']).logOptions).toEqual({
      'max-size': '1m',
      'max-file': '3',
    });
    expect(config(['--debug=false']).debug).toBe(false);
    expect(config(['-s', 'overlay2', '-p', '/x.pid', '-G', 'wheel', '-b', 'br9']).storageDriver).toBe('overlay');
  });

  test('what is wrong is named', () => {
    const cases: [string[], string][] = [
      [['--nonsense'], 'unknown flag: --nonsense'],
      [['-Z'], "unknown shorthand flag: 'Z' in -Z"],
      [['--data-root'], 'flag needs an argument: --data-root'],
      [['--debug=maybe'], 'invalid argument "maybe" for "--debug": invalid syntax'],
      [['--default-stop-timeout', 'x'], 'invalid argument "x" for "--default-stop-timeout": invalid syntax'],
      [['--log-opt', 'x'], 'invalid argument "x" for "--log-opt": must be name=value'],
      [['start'], 'berth daemon: accepts no arguments, got "start"'],
      [['--storage-driver', 'zfs'], 'invalid value for "storage-driver": "zfs": overlay2 and vfs are there'],
      [['--data-root', 'x'], 'invalid value for "data-root": "x" is not an absolute path'],
      [['--log-level', 'loud'], 'invalid logging level: loud'],
      [['--bip', '10.0.0.1'], 'invalid value for "bip": "10.0.0.1": must be an IPv4 address with prefix length'],
      [['--label', 'x'], 'bad attribute format: x'],
      [['--dns', 'x'], 'invalid value for "dns": x is not an ip address'],
      [
        ['--firewall-backend', 'iptables'],
        'Cannot honour "firewall-backend" with the value "iptables": this is not there yet',
      ],
    ];
    for (const [argv, message] of cases) expect(refusal(() => config(argv))).toBe(message);
  });

  test('files of TLS are named from where the daemon was started', () => {
    const { caCert, cert } = config(['--tlscacert', 'x/../ca.pem', '--tlscert', '/a/cert.pem']).tls;
    expect([caCert, cert]).toEqual([`${process.cwd()}/ca.pem`, '/a/cert.pem']);
  });

  test('plain ones', () => {
    const line = parseDaemonFlags(['--validate', '--config-file=/x', '-v']);
    expect([line.validate, line.configFile, line.version, line.help]).toEqual([true, '/x', true, false]);
    expect(daemonUsage()).toContain('-H, --host list');
  });
});

describe('daemon.json', () => {
  test('unknown keys, bad types and keys given both ways are named', () => {
    expect(refusal(() => config([], { debug: true, nonsense: 1, more: 2 }))).toBe(
      "the following directives don't match any configuration option: nonsense, more",
    );
    expect(refusal(() => config([], { debug: 'yes' }))).toBe(
      'invalid value for "debug": must be true or false, not "yes"',
    );
    expect(refusal(() => config([], { dns: ['1.1.1.1', 5] }))).toContain('"dns": must be a list of strings');
    expect(
      refusal(() => config(['-H', 'fd://', '--debug'], { hosts: ['tcp://127.0.0.1:1', 'unix:///x'], debug: true })),
    ).toBe(
      'the following directives are specified both as a flag and in the configuration file: ' +
        'hosts: (from flag: [fd://], from file: [tcp://127.0.0.1:1 unix:///x]), debug: (from flag: true, from file: true)',
    );
    expect(refusal(() => config([], []))).toBe('invalid JSON: must be an object');
  });

  test('every key is honoured, without effect for a reason, or refused unless it says what is so anyway', () => {
    const sample = {
      text: 'x',
      flag: true,
      integer: 7,
      size: '7m',
      texts: ['x'],
      'text-map': { a: 'b' },
      objects: [{ a: 1 }],
      object: { a: 1 },
    };
    for (const spec of keySpecs) {
      const { treatment } = spec;
      if (treatment.kind === 'no-effect') {
        const { withoutEffect } = config([], { [spec.key]: sample[spec.type] });
        expect(withoutEffect).toEqual([{ key: spec.key, reason: treatment.reason }]);
      }
      if (treatment.kind !== 'not-yet') continue;
      for (const value of treatment.inForce) config([], { [spec.key]: value });
      const other = spec.type === 'flag' ? !(treatment.inForce[0] === true) : sample[spec.type];
      if (treatment.inForce.includes(other)) continue;
      expect(refusal(() => config([], { [spec.key]: other }))).toContain(`Cannot honour "${spec.key}"`);
    }
  });

  test('no key stands twice', () => {
    expect(new Set(keySpecs.map((spec) => spec.key)).size).toBe(keySpecs.length);
    const flags = keySpecs.flatMap((spec) => spec.flag ?? []);
    expect(new Set(flags).size).toBe(flags.length);
    const letters = keySpecs.flatMap((spec) => spec.short ?? []);
    expect(new Set(letters).size).toBe(letters.length);
  });

  test('the file is named in what is wrong with it; the default one may be missing', () => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-config-'));
    try {
      const path = join(folder, 'daemon.json');
      writeFileSync(path, '{"debug": 1}');
      expect(refusal(() => loadConfig(parseDaemonFlags(['--config-file', path])))).toBe(
        `unable to configure the daemon with file ${path}: invalid value for "debug": must be true or false, not 1`,
      );
      const missing = join(folder, 'none.json');
      expect(refusal(() => loadConfig(parseDaemonFlags(['--config-file', missing])))).toBe(
        `unable to configure the daemon with file ${missing}: open ${missing}: no such file or directory`,
      );
      writeFileSync(path, '{"debug": true, "labels": ["a=b"]}');
      expect(loadConfig(parseDaemonFlags(['--config-file', path])).labels).toEqual(['a=b']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('hosts', () => {
  const hostOf = (...argv: string[]) => config(argv).hosts[0];

  test('forms', () => {
    expect(hostOf('-H', 'unix://')).toEqual({ kind: 'unix', path: '/run/berth.sock' });
    expect(hostOf('-H', 'fd://')).toEqual({ kind: 'fd', name: '' });
    expect(hostOf('-H', 'tcp://')).toEqual({ kind: 'tcp', hostname: '127.0.0.1', port: 2375, tls: false });
    expect(hostOf('-H', 'tcp://[::1]:99')).toEqual({ kind: 'tcp', hostname: '::1', port: 99, tls: false });
    expect(hostOf('-H', 'tcp://0.0.0.0', '--tlsverify')).toEqual({
      kind: 'tcp',
      hostname: '0.0.0.0',
      port: 2376,
      tls: true,
    });
    for (const bad of [
      'x',
      'npipe://x',
      'unix://x',
      `unix:///${'x'.repeat(120)}`,
      'tcp://a:b',
      'tcp://127.0.0.1:70000',
    ]) {
      expect(refusal(() => hostOf('-H', bad))).toContain('invalid bind address');
    }
  });

  test('nobody on the network gets root by a mistake', () => {
    for (const argv of [
      ['-H', 'tcp://0.0.0.0:2375'],
      ['-H', 'tcp://10.0.0.1', '--tls'],
      ['-H', 'tcp://[::]:1'],
    ]) {
      expect(refusal(() => config(argv))).toContain('without --tlsverify');
    }
  });
});
