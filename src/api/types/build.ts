/** `/build` and its cache on the wire, Docker API ≤ 1.51. */

export interface BuildCache {
  ID: string;
  Parents?: string[];
  Type: string;
  Description: string;
  InUse: boolean;
  Shared: boolean;
  Size: number;
  CreatedAt: string;
  LastUsedAt: string | null;
  UsageCount: number;
}

/** Beyond Docker: `GET /berth/build/cache-mounts`. */
export interface CacheMountSummary {
  ID: string;
  Size: number;
  InUse: boolean;
  CreatedAt: string;
  LastUsedAt: string;
  UsageCount: number;
}

/** An entry of X-Registry-Config. */
export interface RegistryAuth {
  username?: string;
  password?: string;
  auth?: string;
  identitytoken?: string;
  registrytoken?: string;
  serveraddress?: string;
}
