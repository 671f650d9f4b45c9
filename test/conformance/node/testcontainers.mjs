/** What a user of Testcontainers does, as far as it needs no published ports, against the socket in DOCKER_HOST. */
import { GenericContainer, Wait } from 'testcontainers';
import { check } from './check.mjs';

const IMAGE = 'berth.test/busybox:1';
/** `none`: nothing is published, so nothing is connected to. */
const box = () => new GenericContainer(IMAGE).withNetworkMode('none');

// The library lets the program end while it reads logs.
const awake = setInterval(() => undefined, 1000);
let started;
await check('start, waiting for a line of the log', async () => {
  started = await box()
    .withCommand(['sh', '-c', 'sleep 0.2; echo ready to serve; exec sleep 1000'])
    .withEnvironment({ GREETING: 'hello' })
    .withLabels({ purpose: 'conformance' })
    .withName('contained')
    .withWaitStrategy(Wait.forLogMessage('ready to serve'))
    .start();
  return started.getName() === '/contained' || started.getName();
});
await check('exec: output and code', async () => {
  const good = await started.exec(['sh', '-c', 'echo $GREETING']);
  const bad = await started.exec(['sh', '-c', 'echo no >&2; exit 3']);
  return good.output === 'hello\n' && good.exitCode === 0 && bad.exitCode === 3 && bad.stderr === 'no\n';
});
await check('labels', async () => started.getLabels().purpose === 'conformance');
await check('logs', async () => {
  const stream = await started.logs();
  return new Promise((resolve) => stream.on('data', (line) => resolve(String(line).includes('ready to serve'))));
});
await check('restart', async () => {
  await started.restart({ timeout: 0 });
  return (await started.exec(['true'])).exitCode === 0;
});
await check('stop removes it', async () => {
  await started.stop({ timeout: 0 });
  return started.exec(['true']).then(
    () => 'it still runs',
    () => true,
  );
});
await check('waiting for a command that succeeds', async () => {
  const container = await box()
    .withCommand(['sh', '-c', 'sleep 0.3; touch /there; exec sleep 1000'])
    .withWaitStrategy(Wait.forSuccessfulCommand('test -e /there'))
    .start();
  const { exitCode } = await container.exec(['test', '-e', '/there']);
  await container.stop({ timeout: 0 });
  return exitCode === 0;
});
await check('waiting for the end of a task', async () => {
  const container = await box()
    .withCommand(['sh', '-c', 'echo done'])
    .withWaitStrategy(Wait.forOneShotStartup())
    .start();
  await container.stop({ timeout: 0 });
  return true;
});
await check('waiting for health', async () => {
  const container = await box()
    .withCommand(['sleep', '1000'])
    .withHealthCheck({ test: ['CMD-SHELL', 'true'], interval: 100, timeout: 1000, retries: 5, startPeriod: 0 })
    .withWaitStrategy(Wait.forHealthCheck())
    .start();
  await container.stop({ timeout: 0 });
  return true;
});
await check('a start that fails is told and leaves nothing', async () => {
  try {
    await box()
      .withCommand(['sh', '-c', 'echo nothing; exec sleep 1000'])
      .withStartupTimeout(500)
      .withWaitStrategy(Wait.forLogMessage('never said'))
      .start();
    return 'it started';
  } catch (error) {
    return error.message.includes('never said') || error.message;
  }
});
await check('reuse', async () => {
  const reusable = () => box().withCommand(['sleep', '1000']).withReuse().start();
  const [first, second] = [await reusable(), await reusable()];
  const same = first.getId() === second.getId();
  await first.stop({ timeout: 0 });
  return same;
});
await check('tmpfs, user, working directory, limits', async () => {
  const container = await box()
    .withCommand(['sleep', '1000'])
    .withTmpFs({ '/scratch': 'rw,size=1m' })
    .withUser('1000')
    .withWorkingDir('/tmp')
    .withResourcesQuota({ memory: 0.0625, cpu: 0.5 })
    .start();
  const { output } = await container.exec(['sh', '-c', 'id -u; pwd; grep -c scratch /proc/mounts']);
  await container.stop({ timeout: 0 });
  return output === '1000\n/tmp\n1\n' || output;
});
clearInterval(awake);
