/** The Worker of mountWithin: one mount(2) that may wait for a server, and how it ended. */
import { isErrno } from './errno.ts';
import { mountAt, type MountRequest } from './mount-table.ts';

declare const self: Worker;

self.onmessage = (event: MessageEvent<MountRequest>) => {
  try {
    mountAt(event.data);
    postMessage(0);
  } catch (error) {
    postMessage(isErrno(error) ? error.errno : -1);
  }
};
