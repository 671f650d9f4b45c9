/** The Worker of watch.ts: waits in epoll for descriptors that arrive by a pipe and posts each back once it is readable. */
import { Epoll } from './epoll.ts';
import { read } from './files.ts';
import { EPOLL } from './numbers.ts';

const COMMAND_BYTES = 4;

function loop(commands: number): void {
  const epoll = new Epoll();
  const buffer = new Uint8Array(1024 * COMMAND_BYTES);
  const view = new DataView(buffer.buffer);
  epoll.add(commands);
  for (;;) {
    for (const { fd } of epoll.wait()) {
      if (fd === commands) {
        const length = read(commands, buffer);
        for (let at = 0; at < length; at += COMMAND_BYTES) epoll.add(view.getInt32(at, true), EPOLL.IN | EPOLL.ONESHOT);
      } else {
        epoll.remove(fd);
        postMessage(fd);
      }
    }
  }
}

addEventListener('message', (event: MessageEvent<number>) => loop(event.data), { once: true });
