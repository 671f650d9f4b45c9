/** A container's output on its way to another program: which, and what is said of the container with each line. */
import { hostname } from 'node:os';
import type { FluentdSettings } from './fluentd/options.ts';
import type { GelfSettings } from './gelf/options.ts';
import type { JournaldSettings } from './journald/options.ts';
import type { SyslogSettings } from './syslog/options.ts';

export type RemoteSettings = SyslogSettings | GelfSettings | FluentdSettings | JournaldSettings;

/** Plain values: it travels to the shipping thread. */
export interface RemoteTarget {
  readonly settings: RemoteSettings;
  readonly identity: Identity;
  /** Holds the container back when the remote is slow and the buffer is full, instead of losing lines. */
  readonly blocking: boolean;
  /** Bytes that may wait for the remote. */
  readonly bufferBytesMax: number;
}

export interface Identity {
  readonly containerId: string;
  readonly containerName: string;
  readonly imageId: string;
  readonly imageName: string;
  readonly command: string;
  readonly createdAt: string;
  readonly hostname: string;
  readonly tag: string;
  /** Labels and variables that the options name. */
  readonly attributes: Readonly<Record<string, string>>;
}

export const thisHost = (): string => hostname();
