/** Images on the wire, Docker API ≤ 1.51. Field order is dockerd's; `?` marks what dockerd leaves out when empty. */
import type { ContainerConfig, GraphDriverState } from './container.ts';
import type { Descriptor, Platform } from './descriptor.ts';

export interface ImageSummary {
  Containers: number;
  /** Seconds since the epoch. */
  Created: number;
  Id: string;
  Labels: Record<string, string> | null;
  ParentId: string;
  /** Of what its names stand for; API ≥ 1.48. */
  Descriptor?: Descriptor;
  /** API ≥ 1.47, when asked for. */
  Manifests?: ImageManifestSummary[];
  RepoDigests: string[];
  RepoTags: string[];
  /** -1: not asked for. */
  SharedSize: number;
  Size: number;
  /** API < 1.44 only. */
  VirtualSize?: number;
}

export interface RootFs {
  Type?: string;
  Layers?: string[];
}

export interface ImageInspect {
  Id: string;
  RepoTags: string[];
  RepoDigests: string[];
  Parent: string;
  Comment: string;
  Created?: string;
  /** Id of the container it was committed from. */
  Container?: string;
  /** docker-compose 1.29 needs it to recreate containers: a copy of Config where nothing better is known. */
  ContainerConfig?: ContainerConfig;
  DockerVersion: string;
  Author: string;
  Config: ContainerConfig | null;
  Architecture: string;
  Variant?: string;
  Os: string;
  OsVersion?: string;
  Size: number;
  /** API < 1.44 only. */
  VirtualSize?: number;
  GraphDriver: GraphDriverState;
  RootFS: RootFs;
  Metadata: { LastTagTime: string };
  /** API ≥ 1.48. */
  Descriptor?: Descriptor;
  /** API ≥ 1.48, when asked for. */
  Manifests?: ImageManifestSummary[];
}

export interface ImageManifestSummary {
  /** Digest of the manifest. */
  ID: string;
  Descriptor: Descriptor;
  /** Whether all of it is on this host. */
  Available: boolean;
  /** Content: of the blobs; Total: and of the unpacked files. */
  Size: { Content: number; Total: number };
  Kind: 'image' | 'attestation' | 'unknown';
  ImageData?: { Platform: Platform; Containers: string[]; Size: { Unpacked: number } };
  AttestationData?: { For: string };
}

export interface AttestationStatement {
  Descriptor: Descriptor;
  PredicateType: string;
  Statement?: unknown;
}

export interface ImageHistoryItem {
  Comment: string;
  /** Seconds since the epoch. */
  Created: number;
  CreatedBy: string;
  /** '<missing>' for all but the image itself. */
  Id: string;
  Size: number;
  Tags: string[] | null;
}

export interface ImageDeleteItem {
  Deleted?: string;
  Untagged?: string;
}

/** One line of a progress stream. */
export interface ProgressMessage {
  stream?: string;
  status?: string;
  progressDetail?: { current?: number; total?: number };
  progress?: string;
  id?: string;
  errorDetail?: { code?: number; message: string };
  error?: string;
  aux?: unknown;
}

/** Berth's own: a layer as `save` writes it. */
export interface LayerBlob {
  Digest: string;
  Size: number;
}

/** Body of `POST /berth/images/export`. */
export interface ImageExportRequest {
  Names: string[];
  /** Digests of layers that are left out. */
  Without: string[];
  /** Of these only what comes after so many bytes. */
  From?: Record<string, number>;
}

/** Body of `POST /berth/images/missing`, and its answer. */
export interface MissingBlobs {
  Digests: string[];
  /** In answers: bytes of missing ones that came before a connection broke. */
  Begun?: Record<string, number>;
}

/** What a name stands for in its registry. */
export interface DistributionInspect {
  Descriptor: Descriptor;
  Platforms: Platform[];
}

export interface ImageSearchResult {
  star_count: number;
  is_official: boolean;
  name: string;
  is_automated: boolean;
  description: string;
}

/** Docker's AuthConfig: the body of POST /auth, and base64url of it X-Registry-Auth. */
export interface AuthConfig {
  username?: string;
  password?: string;
  auth?: string;
  email?: string;
  serveraddress?: string;
  identitytoken?: string;
  registrytoken?: string;
}

export interface AuthResponse {
  Status: string;
  IdentityToken?: string;
}
