/**
 * Compose 2 (Debian trixie's 2.26) as people use it. That everything below is what dockerd 28.5 does with the same
 * projects was seen by running both side by side.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ContainerInspect } from '#api/types/container.ts';
import { type CommandResult, eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { withPlugins } from '../../support/next-debian.ts';

const IMAGE = 'berth.test/busybox:1';
const LIMIT_MS = 180_000;
let d: TestDaemon;
let config = '';

beforeAll(async () => {
  d = await TestDaemon.start();
  config = await withPlugins(d.directory, ['docker-compose']);
}, 600_000);
afterAll(() => d[Symbol.asyncDispose](), 120_000);

type Compose = (line: string, env?: Readonly<Record<string, string>>) => Promise<CommandResult>;

/** A project in a directory of its own; words of a command are separated by blanks, `'…'` keeps them. */
function project(name: string, files: Readonly<Record<string, string>>): Compose {
  const folder = path.join(d.directory, name);
  for (const [file, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  return (line, env = {}) => {
    const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '');
    return run('docker', ['-H', `unix://${d.socket}`, 'compose', '--ansi', 'never', ...words], {
      cwd: folder,
      limitMs: 120_000,
      env: { DOCKER_CONFIG: config, DOCKER_CLI_HINTS: 'false', COMPOSE_PROGRESS: 'plain', ...env },
    });
  };
}

async function good(pending: Promise<CommandResult>): Promise<string> {
  const r = await pending;
  expect(r.code, r.stdout + r.stderr).toBe(0);
  return r.stdout.trim();
}

async function ends(pending: Promise<CommandResult>, code: number, words: string): Promise<void> {
  const r = await pending;
  expect(r.stdout + r.stderr).toContain(words);
  expect(r.code).toBe(code);
}

async function inspect(name: string): Promise<ContainerInspect> {
  // as: what the API documents for an inspect.
  return ((await d.request('GET', `/containers/${name}/json`)).body ?? {}) as ContainerInspect;
}

async function nothingLeft(name: string): Promise<void> {
  const filter = ['--filter', `label=com.docker.compose.project=${name}`];
  for (const kind of ['ps -aq', 'volume ls -q', 'network ls -q']) {
    expect(await d.must([...kind.split(' '), ...filter])).toBe('');
  }
}

const plain = `
services:
  web:
    image: ${IMAGE}
    command: sh -c "echo web is up; trap 'exit 0' TERM; sleep 1000 & wait"
    ports: ["80", "127.0.0.1::6000/udp"]
    networks: {default: {aliases: [front]}, back: {ipv4_address: 10.231.5.10}}
    extra_hosts: ["somehost:10.1.2.3"]
    depends_on: {db: {condition: service_healthy}, init: {condition: service_completed_successfully}}
    stop_grace_period: 60s
  init: {image: ${IMAGE}, command: "true"}
  db:
    image: ${IMAGE}
    command: sleep 1000
    init: true
    stop_grace_period: 0s
    volumes: ["data:/data", "/anon", "./host:/host:ro"]
    healthcheck: {test: [CMD, "true"], interval: 300ms, timeout: 30s, retries: 30}
    networks: [back]
networks:
  back: {ipam: {config: [{subnet: 10.231.5.0/24}]}, internal: true}
volumes: {data: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=1m"}}}
`;

describe('a project with health, conditions, networks, ports and volumes', () => {
  let compose: Compose;
  beforeAll(() => {
    compose = project('plain', { 'compose.yaml': plain, 'host/f': 'from the host' });
  });
  afterAll(async () => {
    await compose('down -v -t 0');
  }, 60_000);

  test(
    'up, and a second up that changes nothing',
    async () => {
      await good(compose('up -d --wait web db'));
      const before = await d.must(['ps', '-aq', '--no-trunc']);
      const again = await compose('up -d');
      expect(again.stderr).toContain('Container plain-web-1  Running');
      expect(again.stderr).toContain('Container plain-db-1  Running');
      expect(again.stderr).not.toMatch(/Recreat|Creating/);
      expect(await d.must(['ps', '-aq', '--no-trunc'])).toBe(before);
      const web = await inspect('plain-web-1');
      const back = web.NetworkSettings.Networks['plain_back'];
      expect([back?.IPAddress, back?.Aliases]).toEqual(['10.231.5.10', ['plain-web-1', 'web']]);
      expect(web.NetworkSettings.Networks['plain_default']?.DNSNames).toContain('front');
      expect(web.HostConfig.RestartPolicy).toEqual({ Name: 'no', MaximumRetryCount: 0 });
    },
    LIMIT_MS,
  );

  test(
    'ps, ls, images, port, top, stats, logs',
    async () => {
      const rows = await good(compose(`ps -a --format '{{.Name}} {{.State}} {{.Health}} {{.ExitCode}}'`));
      expect(rows.split('\n').sort()).toEqual([
        'plain-db-1 running healthy 0',
        'plain-init-1 exited  0',
        'plain-web-1 running  0',
      ]);
      // as: what compose prints.
      const listed = (await good(compose('ps web --format json'))).split('\n').map((l) => JSON.parse(l) as object);
      expect(listed).toMatchObject([{ Service: 'web', Project: 'plain', State: 'running' }]);
      expect(await good(compose('ls --format json'))).toContain('"Status":"running(2)"');
      expect(await good(compose('images --format json'))).toContain('"Repository":"berth.test/busybox"');
      expect(await good(compose('port web 80'))).toMatch(/^0\.0\.0\.0:\d+$/);
      expect(await good(compose('port --protocol udp web 6000'))).toMatch(/^127\.0\.0\.1:\d+$/);
      expect(await good(compose('top db'))).toContain('sleep 1000');
      expect(await good(compose(`stats --no-stream --format '{{.Name}}' db`))).toBe('plain-db-1');
      await eventually('web has said it', async () =>
        (await good(compose('logs --no-color'))).includes('web-1  | web is up'),
      );
    },
    LIMIT_MS,
  );

  test(
    'exec with code, user and terminal; names; cp both ways; run',
    async () => {
      expect((await compose(`exec -T web sh -c 'exit 4'`)).code).toBe(4);
      expect(await good(compose(`exec -T -u sailor -w /tmp -e X=1 web sh -c 'id -un; pwd; echo $X'`))).toBe(
        'sailor\n/tmp\n1',
      );
      expect((await compose('exec -T web nosuchcommand')).code).toBe(127);
      const words = ['-H', `unix://${d.socket}`, 'compose', 'exec', 'db', 'tty'];
      const cwd = path.join(d.directory, 'plain');
      const terminal = await run('docker', words, { cwd, env: { DOCKER_CONFIG: config }, terminal: true });
      expect(terminal.stdout).toContain('/dev/pts/0');
      expect(await good(compose('exec -T db nslookup web'))).toContain('10.231.5.10');
      expect(await good(compose('exec -T web cat /etc/hosts'))).toContain('10.1.2.3\tsomehost');
      expect(await good(compose('exec -T db cat /host/f'))).toBe('from the host');
      await good(compose('cp compose.yaml db:/tmp/copied'));
      await good(compose('cp db:/tmp/copied back.yaml'));
      expect(fs.readFileSync(path.join(cwd, 'back.yaml'), 'utf8')).toBe(plain);
      expect((await compose(`run --rm -T --no-deps db sh -c 'exit 9'`)).code).toBe(9);
    },
    LIMIT_MS,
  );

  test(
    'pause, stop, start, restart, kill, scale, rm, recreate',
    async () => {
      await good(compose('pause db'));
      expect((await inspect('plain-db-1')).State.Status).toBe('paused');
      expect((await compose('exec -T db true')).stderr).toContain('is paused, unpause the container before exec');
      await good(compose('unpause db'));
      await good(compose('stop web'));
      const stopped = await inspect('plain-web-1');
      expect([stopped.State.Status, stopped.State.ExitCode]).toEqual(['exited', 0]);
      await good(compose('restart db'));
      await good(compose('start web'));
      await good(compose('kill -s KILL web'));
      await eventually('web has ended', async () => (await inspect('plain-web-1')).State.Status === 'exited');
      expect((await inspect('plain-web-1')).State.ExitCode).toBe(137);
      // Its only link leaves and comes back, with another index than before.
      await d.must(['network', 'disconnect', 'plain_back', 'plain-db-1']);
      await d.must(['network', 'connect', 'plain_back', 'plain-db-1']);
      expect(await good(compose('exec -T db ip -o -4 addr show eth0'))).toContain('10.231.5.');
      await good(compose('up -d --no-deps --scale db=2 db'));
      expect(await good(compose('ps -q db'))).toMatch(/^[0-9a-f]{64}\n[0-9a-f]{64}$/);
      const old = (await inspect('plain-web-1')).Id;
      await good(compose('up -d --force-recreate --no-deps web'));
      expect((await inspect('plain-web-1')).Id).not.toBe(old);
      await good(compose('rm -f -s -v web'));
      expect(await good(compose('ps -a -q web'))).toBe('');
    },
    LIMIT_MS,
  );

  test(
    'events tell the life of its containers; down -v leaves nothing',
    async () => {
      await good(compose('down -v --remove-orphans -t 0'));
      await nothingLeft('plain');
      const filters = ['--filter', 'label=com.docker.compose.project=plain', '--filter', 'type=container'];
      const format = '{{.Actor.Attributes.name}} {{.Action}}';
      const now = String(Math.ceil(Date.now() / 1000));
      const told = await d.must(['events', '--since', '0', '--until', now, ...filters, '--format', format]);
      const init = told.split('\n').filter((line) => line.startsWith('plain-init-1 '));
      const actions = init.map((line) => line.split(' ')[1]);
      expect([actions[0], actions.at(-1)]).toEqual(['create', 'destroy']);
      expect(actions).toContain('die');
    },
    LIMIT_MS,
  );
});

test(
  'conditions that do not come, exit codes that do',
  async () => {
    const compose = project('conditions', {
      'compose.yaml': `
x-c: &c {image: ${IMAGE}, stop_grace_period: 0s}
services:
  sick: {<<: *c, command: sleep 100, healthcheck: {test: "exit 1", interval: 200ms, retries: 1}}
  after: {<<: *c, command: sleep 100, depends_on: {sick: {condition: service_healthy}}}
  failed: {<<: *c, command: "sh -c 'exit 7'"}
  after2: {<<: *c, command: sleep 100, depends_on: {failed: {condition: service_completed_successfully}}}
  helper: {<<: *c, command: sleep 100}
  job: {<<: *c, command: "sh -c 'echo working; exit 3'", depends_on: [helper]}
`,
    });
    await ends(compose('up -d after'), 1, 'container conditions-sick-1 is unhealthy');
    await ends(compose('up -d after2'), 1, `didn't complete successfully: exit 7`);
    await ends(compose('up --exit-code-from job job helper'), 3, 'working');
    expect((await inspect('conditions-helper-1')).State.Status).toBe('exited');
    await good(compose('down -t 0'));
    await nothingLeft('conditions');
  },
  LIMIT_MS,
);

const everyOption = `
x-c: &c {image: ${IMAGE}, command: sleep 1000, stop_grace_period: 0s}
services:
  limits:
    <<: *c
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M, pids: 50}, reservations: {memory: 32M}}}
    ulimits: {nofile: {soft: 100, hard: 200}}
    sysctls: {net.ipv4.ip_default_ttl: 33}
    cap_add: [NET_ADMIN]
    cap_drop: [CHOWN]
    init: true
    read_only: true
    tmpfs: [/tmp]
    logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}
    shm_size: 8m
    user: "1000:1000"
    hostname: hh
    ipc: shareable
    labels: {a.b: c}
    devices: ["/dev/null:/dev/mynull:rwm"]
    restart: on-failure:3
  shares: {<<: *c, pid: "service:limits", ipc: "service:limits", network_mode: "service:two", volumes_from: [volumes]}
  volumes:
    <<: *c
    network_mode: none
    volumes:
      - named:/n
      - {type: tmpfs, target: /t, tmpfs: {size: 1048576, mode: 1777}}
      - {type: bind, source: ./made, target: /made, bind: {create_host_path: true}}
      - {type: volume, target: /anonymous}
      - {type: bind, source: ./, target: /ro, read_only: true}
  linked: {<<: *c, links: ["two:alias"], networks: [one]}
  two: {<<: *c, networks: {one: {aliases: [x, y], ipv4_address: 10.232.0.9}, six: {ipv6_address: "fd00:77::9"}}}
  told:
    extends: {file: base.yaml, service: base}
    secrets: [one, {source: two, target: /run/other, mode: 0400, uid: "1000"}]
    configs: [{source: words, target: /words}]
    environment: [OUTER, A=1]
    env_file: [env, {path: nosuch.env, required: false}]
  extra: {<<: *c, profiles: [debug]}
include: [more.yaml]
secrets: {one: {file: ./one.txt}, two: {environment: SECRET}}
configs: {words: {content: "inline \${SECRET}"}}
networks:
  one: {ipam: {config: [{subnet: 10.232.0.0/24, gateway: 10.232.0.254, ip_range: 10.232.0.0/25}]}, labels: {l: m}}
  six: {enable_ipv6: true, ipam: {config: [{subnet: "fd00:77::/64"}]}, name: custom-six}
volumes: {named: {labels: [x=y]}}
`;

test(
  'options of every kind reach the container, and a second up finds nothing to change',
  async () => {
    const compose = project('options', {
      'compose.yaml': everyOption,
      'base.yaml': `services: {base: {image: ${IMAGE}, command: sleep 1000, stop_grace_period: 0s, labels: {from: base}}}`,
      'more.yaml': `services: {included: {image: ${IMAGE}, command: "true", network_mode: none}}`,
      'one.txt': 'secret one',
      env: 'FROM_FILE=1\n',
    });
    const env = { SECRET: 'hush', OUTER: 'outside' };
    await good(compose('up -d', env));
    const again = await compose('up -d', env);
    // Secrets of the environment are copied in before a start: Compose recreates for them, with every engine.
    expect(again.stderr.match(/Container options-(limits|shares|volumes|linked|two)-1 {2}(?!Running)/)).toBeNull();
    const { HostConfig: host, Config } = await inspect('options-limits-1');
    expect(host).toMatchObject({
      Memory: 67108864,
      MemoryReservation: 33554432,
      NanoCpus: 500000000,
      PidsLimit: 50,
      CapAdd: ['NET_ADMIN'],
      CapDrop: ['CHOWN'],
      Init: true,
      ReadonlyRootfs: true,
      ShmSize: 8388608,
      Tmpfs: { '/tmp': '' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
      RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 },
    });
    expect(Config.Labels).toMatchObject({ 'a.b': 'c', 'com.docker.compose.service': 'limits' });
    const limits = `id -u; ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_default_ttl; hostname; ls /dev/mynull`;
    expect(await good(compose(`exec -T limits sh -c '${limits}; touch /x 2>&1 | grep -o Read-only'`, env))).toBe(
      '1000\n100\n200\n33\nhh\n/dev/mynull\nRead-only',
    );
    expect(await good(compose(`exec -T shares sh -c 'cat /proc/1/comm; touch /n/x && stat -f -c %T /t'`, env))).toBe(
      'docker-init\ntmpfs',
    );
    expect(await good(compose(`exec -T shares ip -o addr show`, env))).toContain('fd00:77::9/64');
    expect(await good(compose(`exec -T linked nslookup alias`, env))).toContain('10.232.0.9');
    const told = `cat /run/secrets/one; echo; cat /run/other /words; echo; echo $OUTER $A $FROM_FILE; stat -c %a:%u /run/other`;
    expect(await good(compose(`exec -T told sh -c '${told}'`, env))).toBe(
      'secret one\nhushinline hush\noutside 1 1\n400:1000',
    );
    expect((await inspect('options-told-1')).Config.Labels).toMatchObject({ from: 'base' });
    expect(fs.statSync(path.join(d.directory, 'options/made')).isDirectory()).toBe(true);
    await good(compose('--profile debug up -d extra', env));
    await good(compose('--profile debug down -v -t 0', env));
    await nothingLeft('options');
  },
  LIMIT_MS,
);

describe('what cannot be', () => {
  const service = (options: string) => `services: {a: {image: ${IMAGE}, command: "true", ${options}}}`;
  for (const [name, text, words] of [
    [
      'gpus',
      service('deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}'),
      'could not select device driver "nvidia" with capabilities: [[gpu]]',
    ],
    [
      'address',
      `${service('networks: {n: {ipv4_address: 10.9.9.9}}')}\nnetworks: {n: {ipam: {config: [{subnet: 10.233.0.0/24}]}}}`,
      'invalid config for network address_n: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.9.9.9',
    ],
    [
      'command',
      `services: {a: {image: ${IMAGE}, command: nosuchcommand}}`,
      'exec: "nosuchcommand": executable file not found in $PATH',
    ],
    ['runtime', service('runtime: nosuch'), 'unknown or invalid runtime name: nosuch'],
    ['driver', `${service('volumes: ["kept:/v"]')}\nvolumes: {kept: {driver: nosuch}}`, 'nosuch'],
    ['cpus', service('cpus: 9999'), 'range of CPUs is from 0.01 to'],
  ] as const) {
    test(
      name,
      async () => {
        const compose = project(name, { 'compose.yaml': text });
        await ends(compose('up -d'), 1, words);
        await good(compose('down -v -t 0'));
        await nothingLeft(name);
      },
      LIMIT_MS,
    );
  }
});
