/**
 * A container's statistics on the wire, Docker API ≤ 1.51. Field order is dockerd's; `?` marks what dockerd leaves out
 * when empty. `N` is how counts are held: they are 64 bits wide, so the daemon has them as bigint, clients as number.
 */

export interface ThrottlingData<N = number> {
  periods: N;
  throttled_periods: N;
  /** Nanoseconds, as all times here. */
  throttled_time: N;
}

export interface CpuStats<N = number> {
  cpu_usage: {
    total_usage: N;
    /** cgroup v1 only. */
    percpu_usage?: N[];
    usage_in_kernelmode: N;
    usage_in_usermode: N;
  };
  /** Of all processors together, whatever they did. */
  system_cpu_usage?: N;
  online_cpus?: number;
  throttling_data: ThrottlingData<N>;
}

export interface MemoryStats<N = number> {
  usage?: N;
  max_usage?: N;
  /** memory.stat in the names of the host's cgroup version. */
  stats?: Record<string, N>;
  failcnt?: N;
  limit?: N;
}

export interface BlkioEntry<N = number> {
  major: number;
  minor: number;
  op: string;
  value: N;
}

export interface BlkioStats<N = number> {
  io_service_bytes_recursive: BlkioEntry<N>[] | null;
  io_serviced_recursive: BlkioEntry<N>[] | null;
  io_queue_recursive: BlkioEntry<N>[] | null;
  io_service_time_recursive: BlkioEntry<N>[] | null;
  io_wait_time_recursive: BlkioEntry<N>[] | null;
  io_merged_recursive: BlkioEntry<N>[] | null;
  io_time_recursive: BlkioEntry<N>[] | null;
  sectors_recursive: BlkioEntry<N>[] | null;
}

export interface InterfaceStats<N = number> {
  rx_bytes: N;
  rx_packets: N;
  rx_errors: N;
  rx_dropped: N;
  tx_bytes: N;
  tx_packets: N;
  tx_errors: N;
  tx_dropped: N;
}

export interface ContainerStats<N = number> {
  /** With the leading slash. */
  name: string;
  id: string;
  /** RFC 3339; '0001-01-01T00:00:00Z' when nothing was read. */
  read: string;
  preread: string;
  pids_stats: { current?: N; limit?: N };
  blkio_stats: BlkioStats<N>;
  /** Windows only. */
  num_procs: 0;
  storage_stats: Record<string, never>;
  cpu_stats: CpuStats<N>;
  precpu_stats: CpuStats<N>;
  memory_stats: MemoryStats<N>;
  networks?: Record<string, InterfaceStats<N>>;
}
