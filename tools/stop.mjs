// npm stop: ends the daemon that `npm start` started from this checkout, its containers first, by their stop signal.
// A daemon that somebody else started is left alone.
import { spawnSync } from 'node:child_process';
import { answers, forgetDaemon, hostOf, program, sleep, startedDaemon, startTicks } from './start-daemon.mjs';

const END_MS = 20_000;

const daemon = startedDaemon();
if (daemon === undefined) {
  forgetDaemon();
  const host = hostOf(process.argv.slice(2));
  const other = (await answers(host)) ? `; the one at ${host} was started by somebody else and goes on` : '';
  console.log(`No daemon was started from here${other}.`);
  process.exit(0);
}

const berth = (...args) => spawnSync(program, ['-H', daemon.host, ...args], { encoding: 'utf8' });
const running = (berth('ps', '-q').stdout ?? '').split('\n').filter((id) => id !== '');
if (running.length > 0) {
  console.log(`Stopping ${running.length} container${running.length === 1 ? '' : 's'}`);
  const stopped = berth('stop', ...running);
  if (stopped.status !== 0) process.stderr.write(stopped.stderr ?? '');
}

process.kill(daemon.pid, 'SIGTERM');
const limit = Date.now() + END_MS;
while (startTicks(daemon.pid) === daemon.ticks) {
  if (Date.now() > limit) {
    console.error(`The daemon (pid ${daemon.pid}) does not end; its log is dist/daemon.log.`);
    process.exit(1);
  }
  await sleep(20);
}
forgetDaemon();
console.log('The daemon has ended. Images and stopped containers are kept; npm start brings it back.');
