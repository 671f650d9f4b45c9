/** Events, ps filters, rename, restart, prune of names, jobs, info and version. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

test('a run tells create, attach, start, die, destroy in this order', async () => {
  const since = new Date(Date.now() - 1000).toISOString();
  await d.must(['run', '--rm', '--name', 'seen', '--network', 'none', IMG, 'sh', '-c', 'exit 0']);
  const all = await d.must([
    'events',
    '--since',
    since,
    '--until',
    new Date(Date.now() + 500).toISOString(),
    '--filter',
    'type=container',
    '--format',
    '{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}',
  ]);
  expect(all.split('\n')).toEqual([
    'create seen <no value>',
    'attach seen <no value>',
    'start seen <no value>',
    'die seen 0',
    'destroy seen <no value>',
  ]);
});

test('events come while they happen', async () => {
  const until = new Date(Date.now() + 3000).toISOString();
  const listening = d.docker([
    'events',
    '--until',
    until,
    '--filter',
    'event=rename',
    '--format',
    '{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.oldName}}',
  ]);
  await d.must(['create', '--name', 'old', '--network', 'none', IMG, 'true']);
  await Bun.sleep(500); // the listener has no answer of its own
  await d.must(['rename', 'old', 'new']);
  await d.must(['rm', 'new']);
  expect((await listening).stdout).toBe('rename new /old\n');
});

test('ps filters', async () => {
  const run = (name: string, ...more: string[]) =>
    d.must(['create', '--name', name, '--network', 'none', ...more, IMG, 'true']);
  await run('one', '-l', 'a=1');
  await run('two', '-l', 'a=2', '-l', 'b');
  await run('three');
  await d.docker(['start', '-a', 'three']);
  const names = async (...filters: string[]) =>
    (await d.must(['ps', '-a', '--format', '{{.Names}}', ...filters.flatMap((f) => ['--filter', f])]))
      .split('\n')
      .filter((n) => n !== '')
      .sort();
  expect(await names('label=a')).toEqual(['one', 'two']);
  expect(await names('label=a=2')).toEqual(['two']);
  expect(await names('name=^/t')).toEqual(['three', 'two']);
  expect(await names('status=created')).toEqual(['one', 'two']);
  expect(await names('exited=0')).toEqual(['three']);
  expect(await names('ancestor=berth.test/busybox:1', 'label=b')).toEqual(['two']);
  expect(await names('before=two')).toEqual(['one']);
  expect(await names('since=two')).toEqual(['three']);
  expect((await d.docker(['ps', '--filter', 'nosuch=1'])).stderr).toContain("invalid filter 'nosuch'");
  expect(await d.must(['ps', '-a', '-n', '1', '--format', '{{.Names}}'])).toBe('three');
  await d.must(['rm', 'one', 'two', 'three']);
});

test('stop sends the stop signal, waits, then kills; restart keeps the id and counts nothing', async () => {
  const polite = ['sh', '-c', 'trap "echo bye; exit 0" TERM; while :; do sleep 0.1; done'];
  await d.must(['run', '-d', '--name', 'polite', '--network', 'none', IMG, ...polite]);
  await d.must(['stop', '-t', '10', 'polite']);
  expect(await d.must(['inspect', '-f', '{{.State.ExitCode}}', 'polite'])).toBe('0');
  expect(await d.must(['logs', 'polite'])).toBe('bye');
  const id = await d.must(['inspect', '-f', '{{.Id}}', 'polite']);
  await d.must(['restart', '-t', '1', 'polite']);
  expect(await d.must(['inspect', '-f', '{{.Id}} {{.State.Running}} {{.RestartCount}}', 'polite'])).toBe(
    `${id} true 0`,
  );
  await d.must(['rm', '-f', 'polite']);
});

test('restart policies: on-failure stops after its count', async () => {
  await d.must([
    'run',
    '-d',
    '--name',
    'failing',
    '--network',
    'none',
    '--restart',
    'on-failure:2',
    IMG,
    'sh',
    '-c',
    'exit 3',
  ]);
  expect(await d.must(['wait', 'failing'])).toBe('3');
  let count = '';
  for (let i = 0; i < 100 && count !== '2 exited'; i++) {
    count = await d.must(['inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'failing']);
    await Bun.sleep(50);
  }
  expect(count).toBe('2 exited');
  await d.must(['rm', 'failing']);
});

test('info and version print what dockerd prints', async () => {
  const info = await d.docker(['info']);
  expect(info.code).toBe(0);
  for (const line of [
    'Server:',
    'Storage Driver: overlay',
    'Cgroup Driver:',
    'Cgroup Version:',
    'Kernel Version:',
    'CPUs:',
    'Docker Root Dir:',
    'Security Options:',
    'Default Runtime:',
    'Plugins:',
    'Network:',
    'Log:',
  ])
    expect(info.stdout).toContain(line);
  const version = await d.docker(['version']);
  expect(version.stdout).toContain('API version:      1.51 (minimum version 1.24)');
  expect((await d.request('GET', '/_ping')).body).toBe('OK');
});

test('jobs are listed with who asked and how they ended', async () => {
  const r = await d.request('GET', '/berth/jobs');
  expect(r.status).toBe(200);
  expect(JSON.stringify(r.body)).toContain('container.create');
});

test('200 creates at once', async () => {
  const body = { Image: IMG, Cmd: ['true'], HostConfig: { NetworkMode: 'none' } };
  const answers = await Promise.all(Array.from({ length: 200 }, () => d.request('POST', '/containers/create', body)));
  expect(answers.filter((a) => a.status === 201).length).toBe(200);
  const ids = answers.map((a) => String(Reflect.get(Object(a.body), 'Id')));
  expect(new Set(ids).size).toBe(200);
  const removed = await Promise.all(ids.map((id) => d.request('DELETE', `/containers/${id}`)));
  expect(removed.every((a) => a.status === 204)).toBe(true);
}, 60_000);

test('history outlives the daemon, with every digit of its times; filters as dockerd has them', async () => {
  const since = String(Date.now() / 1000);
  await d.must(['run', '--name', 'lasting', '--label', 'tier=front', '--network', 'none', IMG, 'true']);
  const events = async (...filters: string[]): Promise<string[]> => {
    const more = filters.flatMap((filter) => ['--filter', filter]);
    const text = await d.must([
      ...[
        'events',
        '--since',
        since,
        '--until',
        String(Date.now() / 1000),
        '--format',
        '{{.TimeNano}} {{.Type}} {{.Action}}',
      ],
      ...more,
    ]);
    return text === '' ? [] : text.split('\n');
  };
  const before = await events('container=lasting');
  expect(before.map((line) => line.split(' ').slice(1).join(' '))).toEqual([
    'container create',
    'container attach',
    'container start',
    'container die',
  ]);
  await d.restart();
  expect(await events('container=lasting')).toEqual(before);
  // Nanoseconds that are all multiples of 256 have been through a number.
  expect(before.every((line) => BigInt(line.split(' ')[0] ?? '0') % 256n === 0n)).toBeFalse();
  const actions = async (...filters: string[]): Promise<string[]> =>
    (await events(...filters)).map((line) => line.split(' ').slice(2).join(' '));
  expect(await actions('container=lasti', 'event=die')).toEqual(['die']);
  expect(await actions('label=tier=front', 'event=start', 'event=create')).toEqual(['create', 'start']);
  expect(await actions('label=tier=back')).toEqual([]);
  expect(await actions('image=berth.test/busybox', 'event=start')).toEqual(['start']);
  expect(await actions('type=network', 'event=connect')).toEqual(['connect']);
  expect(await actions('scope=swarm')).toEqual([]);
  expect(await actions('daemon=nobody')).toEqual([]);
  const wrong = await d.docker(['events', '--since', since, '--until', since, '--filter', 'bogus=1']);
  expect(wrong.stderr).toContain("invalid filter 'bogus'");
  const ours = await d.berth(['events', '--since', since, '--until', String(Date.now() / 1000), '--format', 'json']);
  expect(ours.stdout).toContain(`"timeNano":${before[0]?.split(' ')[0]}`);
  await d.must(['rm', 'lasting']);
}, 60_000);
