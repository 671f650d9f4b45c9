/** The client where things go wrong around it: no daemon, one that dies, broken pipes, odd terminals, hostile text. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Terminal } from '../../support/terminal.ts';

const BERTH = path.resolve(import.meta.dirname, '../../../berth');
const IMAGE = 'berth.test/busybox:1';

const berth = (socket: string, args: readonly string[], env: Record<string, string> = {}) =>
  run(BERTH, args, { env: { BERTH_HOST: `unix://${socket}`, ...env } });
/** In a shell, where pipes and redirections are. */
const shell = (socket: string, line: string, env: Record<string, string> = {}) =>
  run('bash', ['-c', `${line.replaceAll(/\bberth /g, `${BERTH} `)}; echo "codes \${PIPESTATUS[*]}"`], {
    env: { BERTH_HOST: `unix://${socket}`, ...env },
  });

test('no daemon: what, and how it is started', async () => {
  const { code, stdout, stderr } = await berth('/nosuch/berth.sock', ['ps']);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr.trimEnd().split('\n')).toEqual([
    'Cannot connect to the Berth daemon at unix:///nosuch/berth.sock. Is the berth daemon running?',
    'Start it by `systemctl start berth` or `berth daemon`; `berth doctor` tells what it may lack.',
  ]);
});

test('no permission: what, and who may', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-closed-'));
  const socket = path.join(directory, 's.sock');
  const server = Bun.serve({ unix: socket, fetch: () => new Response('OK') });
  try {
    fs.chmodSync(directory, 0o755);
    fs.chmodSync(socket, 0o600);
    const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', BERTH, 'ps'];
    const env = { BERTH_HOST: `unix://${socket}`, DOCKER_CONFIG: directory };
    const { code, stderr } = await run('setpriv', nobody, { env });
    expect(code).toBe(1);
    expect(stderr).toContain(
      `permission denied while trying to connect to the Berth daemon socket at unix://${socket}`,
    );
    expect(stderr).toContain('Use sudo, or join the group');
  } finally {
    await server.stop(true);
    fs.rmSync(directory, { recursive: true });
  }
});

test('pipes that break, bytes that are no text, columns of any number', async () => {
  await using daemon = await TestDaemon.start();
  const { socket } = daemon;
  await daemon.must([
    'run',
    '-d',
    '--name',
    'talks',
    '--network',
    'none',
    IMAGE,
    'sh',
    '-c',
    'yes | head -c 3000000; sleep 1000',
  ]);
  await eventually('it has talked', async () => (await daemon.must(['logs', '--tail', '1', 'talks'])) !== '');

  for (const line of [
    'berth ps | head -1',
    'berth logs talks | head -1',
    'berth logs -f talks | head -1',
    'berth help | head -1',
  ]) {
    const { stdout, stderr } = await shell(socket, line);
    expect({ line, stderr }).toEqual({ line, stderr: '' });
    expect(stdout).toMatch(/^\S.*\ncodes (?:0|141) 0\n$/);
  }
  const run3 = await shell(socket, `berth run --rm --network none ${IMAGE} sh -c 'yes | head -c 3000000' | head -1`);
  expect(run3).toMatchObject({ stderr: '' });

  const bytes = await shell(socket, `berth run --rm --network none ${IMAGE} printf '\\377\\376\\000x' | od -An -tx1`);
  expect(bytes.stdout.split('\n')[0]?.trim()).toBe('ff fe 00 78');

  const plain = (await berth(socket, ['ps'])).stdout;
  // But for the time that passes.
  const still = (text: string) =>
    text.replaceAll(/Less than a second|(?:\d+|About a) (?:seconds?|minutes?)/g, 'T').replaceAll(/ +/g, ' ');
  for (const env of [
    { COLUMNS: '0' },
    { COLUMNS: '500' },
    { COLUMNS: 'x' },
    { TERM: 'dumb' },
    { NO_COLOR: '1' },
    { TERM: '' },
  ]) {
    const { stdout } = await berth(socket, ['ps'], env);
    expect(still(stdout)).toBe(still(plain));
    expect(stdout.split('\n').length).toBe(plain.split('\n').length);
    expect(stdout).not.toContain('\u001b');
  }
  for (const size of ['cols 0', 'cols 1', 'cols 500 rows 1']) {
    for (const term of ['dumb', 'xterm', 'nosuchterm']) {
      const command = `stty ${size}; ${BERTH} ps; ${BERTH} stats --no-stream; ${BERTH} images`;
      const env = { BERTH_HOST: `unix://${socket}`, TERM: term };
      const { code, stdout } = await run('script', ['-qec', command, '/dev/null'], { env });
      expect({ size, term, code }).toEqual({ size, term, code: 0 });
      expect(stdout).toContain('talks');
      expect(stdout).toContain('berth.test/busybox');
    }
  }
}, 120_000);

test('what names, labels and commands hold is shown, not obeyed', async () => {
  await using daemon = await TestDaemon.start();
  const { socket } = daemon;
  const label = 'a=\u001b[31mred\u001b]0;title\u0007\u202e';
  const command = '\u001b]52;c;AAAA\u0007';
  await daemon.must(['create', '--label', label, '--name', 'evil', '--network', 'none', IMAGE, 'true', command]);
  const asTable = ['table {{.Names}}\t{{.Command}}\t{{.Labels}}', ''];
  for (const format of asTable) {
    const { stdout } = await berth(socket, ['ps', '-a', '--no-trunc', ...(format === '' ? [] : ['--format', format])]);
    expect(stdout).toContain('evil');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
  }
  // A program gets what is there.
  const { stdout } = await berth(socket, ['inspect', '--format', '{{index .Config.Labels "a"}}', 'evil']);
  expect(stdout).toContain('\u001b[31mred');
});

test('the daemon dies while clients follow: each says so and ends', async () => {
  await using daemon = await TestDaemon.start();
  const { socket } = daemon;
  await daemon.must(['run', '-d', '--name', 'lasts', '--network', 'none', IMAGE, 'sleep', '1000']);
  const followers = [
    ['logs', '-f', 'lasts'],
    ['events'],
    ['stats'],
    ['stats', 'lasts'],
    ['wait', 'lasts'],
    ['attach', 'lasts'],
    ['exec', 'lasts', 'sleep', '100'],
    ['run', '--rm', '--network', 'none', IMAGE, 'sleep', '100'],
  ];
  const running = followers.map((args) => berth(socket, args));
  const asked = async (): Promise<boolean> => {
    const text = await (await fetch('http://b/containers/json', { unix: socket })).json();
    const jobs = await (await fetch('http://b/berth/jobs', { unix: socket })).text();
    return Array.isArray(text) && text.length === 2 && /logs/.test(jobs);
  };
  await eventually('all follow', asked);
  await Bun.sleep(500); // the slowest client has sent its request
  await daemon.kill();
  const ended = await Promise.all(running);
  for (const [i, { code, stderr }] of ended.entries()) {
    const args = followers[i]?.join(' ');
    expect({ args, failed: code !== 0 && code !== -1 }).toEqual({ args, failed: true });
    expect(`${args}: ${stderr}`).toMatch(/unexpected EOF|error during connect|Cannot connect/);
    expect(stderr).not.toContain('verbose: true');
  }
  await daemon.launch();
}, 120_000);

test('Ctrl-C gives the terminal back as it was, whatever was going on', async () => {
  await using daemon = await TestDaemon.start();
  await daemon.must(['run', '-d', '--name', 'lasts', '--network', 'none', IMAGE, 'sleep', '1000']);
  const host = `BERTH_HOST=unix://${daemon.socket}`;
  const trapping = `sh -c 'trap "exit 3" INT; while :; do sleep 0.1; done'`;
  const commands = [
    'logs -f lasts',
    'events',
    'stats',
    'ps --watch',
    'top',
    'wait lasts',
    `run --rm -i --network none ${IMAGE} ${trapping}`,
    `run --rm -it --network none ${IMAGE} ${trapping}`,
  ];
  const script = path.join(daemon.directory, 'session.sh');
  const settings = 'stty -a | tr ";" "\\n" | grep -vE "rows|columns|line ="';
  for (const command of commands) {
    const lines = [
      'trap : INT',
      `before=$(${settings})`,
      `export ${host}`,
      'echo BEGINS',
      `${BERTH} ${command}`,
      "trap '' INT",
      `after=$(${settings})`,
      '[ "$before" = "$after" ] && echo SAME',
      'echo ENDED',
    ];
    fs.writeFileSync(script, lines.join('\n'));
    await using terminal = new Terminal(`bash ${script}`);
    await terminal.sees('BEGINS');
    // At any moment: before it has begun to work, and after.
    await eventually(
      `${command} ends`,
      async () => {
        terminal.types('\u0003');
        await Bun.sleep(300);
        return terminal.text.includes('ENDED');
      },
      60_000,
    );
    expect({ command, same: terminal.text.includes('SAME') }).toEqual({ command, same: true });
  }
  await eventually(
    'the containers of run are gone',
    async () => (await daemon.must(['ps', '-aq'])).split('\n').length === 1,
  );
}, 120_000);

test('programs that use the whole screen get it as it is; live lists keep within theirs', async () => {
  await using daemon = await TestDaemon.start();
  const { socket } = daemon;
  const name = 'a-name-that-is-longer-than-what-most-terminals-have-room-for-in-a-table';
  await daemon.must(['run', '-d', '--name', name, '--network', 'none', IMAGE, 'sleep', '1000']);
  const host = `env BERTH_HOST=unix://${socket}`;
  {
    await using terminal = new Terminal(`${host} ${BERTH} exec -it ${name} sh`);
    await terminal.sees('# ');
    // With its own line discipline off, a line feed must not become a carriage return as well on the way.
    terminal.types("stty -opost; printf 'down\\nright\\n'; stty sane; echo o''ver\r");
    await terminal.sees('over\r\n');
    expect(terminal.text).toContain('down\nright\n');
    expect(terminal.text).not.toContain('\r\r\n');
  }
  for (const [columns, command, seen] of [
    [80, 'stats', 'a-na'],
    [80, 'ps --watch', 'a-na'],
    [30, 'ps --watch', 'IMAGE'],
    [60, 'top', 'a-na'],
  ] as const) {
    await using terminal = new Terminal(`sh -c 'stty cols ${columns}; exec ${host} ${BERTH} ${command}'`);
    await terminal.sees(seen);
    // Each picture begins in the corner.
    const lines = terminal.text.split(/\u001b\[H|\r*\n/).map((line) => Bun.stripANSI(line));
    expect(lines.filter((line) => Array.from(line).length > columns)).toEqual([]);
  }
  await using dumb = new Terminal(`${host} TERM=dumb ${BERTH} stats`);
  await dumb.sees(name);
  expect(dumb.text).not.toContain('\u001b');
}, 120_000);
