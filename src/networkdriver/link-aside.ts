/**
 * Deleting a link keeps the kernel busy for 20 to 40 ms, and whoever asked waits: so a child of ours asks.
 */
import { deleteLink, getLink } from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { isNetlinkErrno, type NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { encodeRequest, NLM, type Request } from '#libcontainer/netlink/codec.ts';
import { systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { close } from '#sys/files.ts';
import { NR, SOCKET, W } from '#sys/numbers.ts';
import { waitid } from '#sys/processes.ts';
import { Program } from '#sys/program.ts';
import { Launcher } from '#sys/zygote/launch.ts';

const NETLINK_ROUTE = 0;
const ANSWER_BYTES = 256;

let launcher: Launcher | undefined;

/** Resolves when the link is gone, whoever took it. Main thread only. */
export const deleteLinkAside = (index: number): Promise<void> => deleteAside(deleteLink({ index }));

/** As `deleteLinkAside`, by any request. */
export async function deleteAside(deletion: Request): Promise<void> {
  launcher ??= new Launcher();
  using program = new Program();
  const request = encodeRequest({ ...deletion, flags: NLM.ACK }, 1);
  const made = program.do('netlink socket', NR.socket, SOCKET.AF_NETLINK, SOCKET.RAW | SOCKET.CLOEXEC, NETLINK_ROUTE);
  const socket = program.keep(made);
  program.do('delete link', NR.sendto, socket, program.bytes(request), request.length, 0, 0, 0);
  // The answer comes when the link is gone.
  program.do('wait for the kernel', NR.recvfrom, socket, program.alloc(ANSWER_BYTES), ANSWER_BYTES, 0, 0, 0);
  program.do('end', NR.exit_group, 0);
  const { outcome, pidfd } = await launcher.launch(program, 0);
  const { failed } = await outcome;
  waitid(W.P_PIDFD, pidfd, 0);
  close(pidfd);
  if (failed !== undefined) throw systemError(`Cannot ${deletion.name}: ${failed.step}: ${failed.code}`);
}

/** The kernel takes some tens of milliseconds for a namespace. */
const GONE_AFTER_MS = 2_000;

/**
 * Links that should have gone with their containers' namespaces. A connection whose other end does not answer keeps a
 * namespace for minutes after its last process, and with it a link that answers for an address that may be another's.
 */
export class LingeringLinks implements Disposable {
  readonly #host: NetlinkSocket;
  readonly #names = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(host: NetlinkSocket) {
    this.#host = host;
  }

  /** Looks for it a little later, once for all that end meanwhile. */
  expectGone(name: string): void {
    this.#names.add(name);
    this.#timer ??= setTimeout(() => void this.#look(), GONE_AFTER_MS).unref();
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    const names = [...this.#names];
    this.#names.clear();
    for (const name of names) {
      try {
        await deleteLinkAside(decodeLink(this.#host.get(getLink({ name }))).index);
        log.info('a link outlived its container and was deleted', { link: name });
      } catch (err) {
        if (!isNetlinkErrno(err, 'ENODEV')) log.warn('a link of a container that ended stays', { link: name, err });
      }
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
