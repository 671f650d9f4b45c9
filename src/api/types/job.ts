/** Berth's own: what the daemon is doing and has done (`GET /berth/jobs`). */

export interface JobSummary {
  Id: string;
  Name: string;
  /** The container, image or volume it works on; may be empty. */
  Subject: string;
  Status: 'running' | 'done' | 'failed' | 'cancelled';
  /** 'api', or the part of the daemon that started it. */
  Source: string;
  Uid?: number;
  Pid?: number;
  UserAgent?: string;
  Remote?: string;
  StartedAt: string;
  EndedAt?: string;
  DurationMs?: number;
  Error?: string;
}
