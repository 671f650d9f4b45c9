/** Berth's own operations on images: plans, locks, the trash, trees and differences. */

export interface ImagePlan {
  Images: {
    Id: string;
    Names: string[];
    /** `prune`, or the limit that it is over: `age`, `size`, `free space`. */
    Reason: string;
    /** RFC 3339: when a container was last made of it, or when it came. */
    LastUsed: string;
    /** Bytes of layers and their kept archives that nothing else needs when those before it are gone. */
    Reclaims: number;
  }[];
  Reclaims: number;
  /** Of all images, now. */
  TotalSize: number;
  /** Limits that cannot be met because the rest is in use or locked. */
  Unmet: string[];
}

export interface TrashedImages {
  Id: string;
  /** RFC 3339. */
  RemovedAt: string;
  Until: string;
  /** `rmi`, `prune`, `budget`. */
  Reason: string;
  Images: { Id: string; Names: string[] }[];
}

export interface RestoredImages {
  Ids: string[];
  Names: string[];
  /** Names that mean another image by now, and stay with it. */
  Taken: string[];
}

export interface ImageTreeLayer {
  ChainId: string;
  /** '' for a lowest layer. */
  Parent: string;
  Size: number;
  /** What made it, as its images' history tells. */
  CreatedBy: string;
  /** Images whose topmost layer this is. */
  Images: { Id: string; Names: string[]; Platform: string; Locked: boolean }[];
}

export interface ImageDifference {
  From: string;
  To: string;
  SharedLayers: number;
  SharedSize: number;
  Files: {
    /** A: added, C: changed, D: deleted. */
    Kind: 'A' | 'C' | 'D';
    Path: string;
    /** Bytes more (or less) than before. */
    Delta: number;
  }[];
  /** Keys of the configuration that differ. */
  Config: { Key: string; From: unknown; To: unknown }[];
}

/** Whether a name stands for something else in its registry than here. */
export interface OutdatedImage {
  Name: string;
  Id: string;
  /** Of the manifest or index that the name stands for; '' when it never came from a registry. */
  Digest: string;
  /** '' when it is not known. */
  RemoteDigest: string;
  Status: 'current' | 'outdated' | 'unknown';
  /** Why it is not known. */
  Error: string;
}

/** One container with the label io.containers.autoupdate. */
export interface AutoUpdateResult {
  Container: string;
  ContainerId: string;
  Image: string;
  Policy: string;
  /** As podman: `pending` is what a dry run would do. */
  Updated: 'true' | 'false' | 'pending' | 'failed' | 'rolled back';
  Error: string;
}
