// What `npm start` and `npm stop` share: where things are, whether a daemon answers, which one was started from here.
// Plain Node without packages, because nothing is installed yet when it runs first.
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as path from 'node:path';

export const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..');
export const program = path.join(root, 'dist', 'berth');
export const logFile = path.join(root, 'dist', 'daemon.log');
const recordFile = path.join(root, 'dist', 'started.json');
const DEFAULT_HOST = 'unix:///run/berth.sock';

/** `-H` among the daemon's flags, else the default; the daemon's flags are what follows `npm start --`. */
export function hostOf(flags) {
  for (const [i, flag] of flags.entries()) {
    if (flag === '-H' || flag === '--host') return flags[i + 1] ?? DEFAULT_HOST;
    const match = /^(?:-H|--host)=?(.+)$/.exec(flag);
    if (match) return match[1];
  }
  return DEFAULT_HOST;
}

/** Whether something answers `_ping` there. */
export function answers(host) {
  const options = host.startsWith('unix://')
    ? { socketPath: host.slice('unix://'.length), path: '/_ping' }
    : {
        host: new URL(host.replace('tcp:', 'http:')).hostname,
        port: new URL(host.replace('tcp:', 'http:')).port,
        path: '/_ping',
      };
  return new Promise((resolve) => {
    const request = http.get({ ...options, timeout: 2000, agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

/** Start time in clock ticks: a pid alone may be somebody else's by now. Undefined: no such process, or it has ended. */
export function startTicks(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** The daemon that was started from this checkout, if it still runs. */
export function startedDaemon() {
  try {
    const record = JSON.parse(fs.readFileSync(recordFile, 'utf8'));
    return startTicks(record.pid) === record.ticks ? record : undefined;
  } catch {
    return undefined;
  }
}

export function recordDaemon(record) {
  fs.writeFileSync(recordFile, `${JSON.stringify(record)}\n`);
}

export function forgetDaemon() {
  fs.rmSync(recordFile, { force: true });
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
