/** What every case of the bench is handed, and what it gives. */
import type { Identity } from '../simulator/plan.ts';
import type { FleetgateServer, Generator, Server } from './servers.ts';

export interface Bench {
  readonly dir: string;
  readonly fleetgate: FleetgateServer;
  readonly mosquitto: Server;
  readonly generator: Generator;
  readonly identities: readonly Identity[];
}

export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: number | null;
  /** What `ours / peer`, or `ours` where there is no peer, may be at most; null where there is no target. */
  readonly target: number | null;
}
