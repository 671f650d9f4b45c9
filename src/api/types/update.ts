/** `POST /containers/{id}/update` on the wire: dockerd's fields, and what we change beyond them. */
import type { HealthConfig, RestartBackoff } from './container.ts';
import type { PortMap } from './network.ts';
import type { Resources, RestartPolicy } from './host-config.ts';

/** Our own part of the body. What is absent stays. */
export interface BerthUpdate {
  /** 'A=b' sets, 'A' takes away. In force for new execs at once, for the container with its next start. */
  Env?: string[];
  /** null takes away. */
  Labels?: Record<string, string | null>;
  /** Fields that are given replace those of before. */
  Healthcheck?: HealthConfig;
  RestartBackoff?: RestartBackoff;
  /** null takes away. */
  LogOptions?: Record<string, string | null>;
  /** Published from now on. */
  PublishAdd?: PortMap;
  /** No longer published: `[IP:][HOSTPORT:]PORT[/PROTOCOL]`. */
  PublishRemove?: string[];
  /** The revision that the change was made for: another one is a conflict. */
  Revision?: number;
}

export interface ContainerUpdateRequest extends Resources {
  RestartPolicy: RestartPolicy;
  Berth?: BerthUpdate;
}

export interface ContainerUpdateResponse {
  Warnings: string[] | null;
  /** Counts the updates of the container. */
  Revision: number;
}
