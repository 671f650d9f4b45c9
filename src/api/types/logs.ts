/** `GET /berth/logs`: one object a line, for each line of a log that was found. */
export interface LogMatch {
  readonly Container: string;
  readonly Name: string;
  /** The container is gone, its log is kept for a while. */
  readonly Removed: boolean;
  readonly Stream: 'stdout' | 'stderr';
  readonly Time: string;
  /** Without its newline. */
  readonly Line: string;
}
