/** `--console-socket`: the terminal's master goes to whoever listens there, as the OCI runtimes do it. */
import { systemError } from '#errdefs/errors.ts';
import { ownedFd } from '#sys/files.ts';
import { sendmsg, unixConnect } from '#sys/sockets.ts';

export function sendConsole(socket: string, master: number): void {
  try {
    using connection = ownedFd(unixConnect(socket));
    // The name of the terminal is what runc sends along; receivers look at the descriptor only.
    sendmsg(connection.fd, Buffer.from('/dev/ptmx'), [master]);
  } catch (error) {
    throw systemError(`Cannot send the terminal to console socket "${socket}"`, { cause: error });
  }
}
