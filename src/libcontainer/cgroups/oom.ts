/**
 * Tells of each OOM in a group as the kernel does, without a timer: v1 through an eventfd that is registered on
 * memory.oom_control, v2 through inotify on memory.events. Both are also touched when the group is removed, which is
 * no OOM: then the files are gone.
 */
import { log } from '#pkg/log/log.ts';
import { eventfd } from '#sys/epoll.ts';
import { close, open, write } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { flatKeyed } from './stats.ts';
import { readIfThere, writeFile } from './write.ts';

export function watchOomV1(directory: string, onOom: () => void): Disposable {
  const event = eventfd();
  try {
    const control = open(`${directory}/memory.oom_control`, O.RDONLY);
    try {
      writeFile(`${directory}/cgroup.event_control`, `${event} ${control}`);
    } finally {
      close(control); // the registration keeps what it needs
    }
  } catch (error) {
    close(event);
    throw error;
  }
  let stopped = false;
  const listen = async () => {
    try {
      for await (const _ of Bun.file(event).stream()) {
        if (stopped || readIfThere(`${directory}/memory.oom_control`) === undefined) break;
        onOom();
      }
    } catch (error) {
      log.warn('cannot watch for OOM', { cgroup: directory, err: error });
    }
    stopped = true; // from here on the number may belong to somebody else
    close(event);
  };
  void listen();
  return {
    [Symbol.dispose]: () => {
      if (stopped) return;
      stopped = true;
      // Wakes the reader, which then closes the descriptor: nobody closes under a pending read.
      write(event, new Uint8Array(new BigUint64Array([1n]).buffer));
    },
  };
}

export function watchOomV2(directory: string, onOom: () => void): Disposable {
  const file = `${directory}/memory.events`;
  const kills = () => flatKeyed(readIfThere(file))['oom'] ?? 0n;
  // Loaded here, since `berth oci` never comes here and its start is short.
  const watcher = process.getBuiltinModule('node:fs').watch(file, () => {
    const now = kills();
    if (now <= seen) return;
    seen = now;
    onOom();
  });
  watcher.on('error', (error) => log.warn('cannot watch for OOM', { cgroup: directory, err: error }));
  let seen = kills();
  return {
    [Symbol.dispose]: () => watcher.close(),
  };
}
