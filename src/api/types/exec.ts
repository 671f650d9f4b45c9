/** Exec on the wire, Docker API ≤ 1.51. Requests are complete: what the client did not send has Go's zero value. */

/** Height and width. */
export type ConsoleSize = [number, number];

export interface ExecCreateRequest {
  User: string;
  Privileged: boolean;
  Tty: boolean;
  ConsoleSize: ConsoleSize | null;
  AttachStdin: boolean;
  AttachStderr: boolean;
  AttachStdout: boolean;
  Detach: boolean;
  DetachKeys: string;
  Env: string[] | null;
  WorkingDir: string;
  Cmd: string[] | null;
}

export interface ExecCreateResponse {
  Id: string;
}

export interface ExecStartRequest {
  Detach: boolean;
  Tty: boolean;
  ConsoleSize: ConsoleSize | null;
}

export interface ExecProcessConfig {
  tty: boolean;
  entrypoint: string;
  arguments: string[];
  privileged?: boolean;
  user?: string;
}

export interface ExecInspect {
  ID: string;
  Running: boolean;
  /** null before it has ended. */
  ExitCode: number | null;
  ProcessConfig: ExecProcessConfig;
  OpenStdin: boolean;
  OpenStderr: boolean;
  OpenStdout: boolean;
  CanRemove: boolean;
  ContainerID: string;
  DetachKeys: string;
  Pid: number;
}
