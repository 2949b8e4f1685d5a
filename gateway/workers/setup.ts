/** What the main process hands a worker at its start: plain data, all there is to know. */
import type { DoorCertificate } from '#common/contract/line.ts';
import type { LogLevel } from '#common/log.ts';
import type { GatewaySettings } from '../settings.ts';

/** Where the directory is read: the registry's own file, or the replica of a gateway that follows one. */
export interface DirectoryFile {
  readonly kind: 'registry' | 'replica';
  readonly path: string;
}

/** Descriptors of sockets that listen already, for the doors that have one. */
export interface WorkerSockets {
  readonly mqtts?: number;
  readonly https?: number;
}

export interface WorkerSetup {
  readonly worker: number;
  readonly workers: number;
  readonly dataDir: string;
  readonly host: string;
  /** Of this worker, in receipts and decisions. */
  readonly name: string;
  /** Its share of the limits, and the ports as they are. */
  readonly settings: GatewaySettings;
  readonly logLevel: LogLevel;
  readonly directory: DirectoryFile;
  readonly doors: DoorCertificate;
  readonly staple: Buffer | null;
  readonly tickets: Buffer;
  /** As they are in the worker. */
  readonly sockets: WorkerSockets;
}

export interface WorkerPorts {
  readonly mqtts: number;
  readonly https: number;
}

/** What a worker says of itself when it is asked. */
export interface WorkerReport {
  /** As prom-client gives them, to be summed. */
  readonly metrics: readonly object[];
  /** Why it is not ready; none when it is. */
  readonly reasons: readonly { readonly name: string; readonly reason: string }[];
}
