/**
 * The registry line and the way to the neighbours, as a worker has them: the directory from a file of its own, everything
 * else through the main process. What the registry asks of a gateway is relayed by the name of the method.
 */
import type { Directory } from '#common/contract/directory.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type {
  DoorCertificate,
  DoorCertificateSource,
  GatewayPeer,
  RegistryLine,
} from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { CarriedPacket, Interests, NeighbourEars, NeighbourLine } from '../mqtt/neighbours.ts';
import type { Channel } from './channel.ts';
import type { WorkerSetup } from './setup.ts';

/** A directory that somebody else writes. */
export interface SharedDirectory extends Disposable {
  readonly directory: Directory;
  /** Whatever was committed until now is seen from now on. */
  fresh(): void;
}

/** The registry is waited for so long: it may wait for a person's approval no longer than its own answer says. */
const askMs = 60_000;
/** A subscription waits so long for neighbours to hear of it. */
const tellMs = 2_000;

class HandedDoors implements DoorCertificateSource {
  current: DoorCertificate;
  #staple: Buffer | null;
  readonly #listeners = new Set<(certificate: DoorCertificate) => void>();

  constructor({ doors, staple }: WorkerSetup) {
    this.current = doors;
    this.#staple = staple;
  }

  onRenewed(use: (certificate: DoorCertificate) => void): () => void {
    this.#listeners.add(use);
    return () => this.#listeners.delete(use);
  }

  staple(): Buffer | null {
    return this.#staple;
  }

  stapled(answer: Buffer | null): void {
    this.#staple = answer;
  }

  renewed(certificate: DoorCertificate): void {
    this.current = certificate;
    this.#staple = null;
    for (const use of this.#listeners) use(certificate);
  }
}

/** To be made before anything of the gateway: what the main process says from then on is not lost. */
export function workerLine(channel: Channel, setup: WorkerSetup, shared: SharedDirectory): RegistryLine {
  const doors = new HandedDoors(setup);
  channel.handle('doors', (certificate: DoorCertificate) => doors.renewed(certificate));
  channel.handle('staple', (answer: Buffer | null) => doors.stapled(answer));

  // Asked before the gateway is there, it answers when it is: no revocation falls between.
  let attach: (peer: GatewayPeer) => void = () => {};
  const attached = new Promise<GatewayPeer>((resolve) => {
    attach = resolve;
  });
  channel.handle('peer', async (method: string, args: readonly unknown[]) => {
    const peer = await attached;
    // Whatever it is about was committed before we were told.
    shared.fresh();
    const answer = (peer as unknown as Record<string, unknown>)[method];
    if (typeof answer !== 'function') throw new Fault('not-found', `A gateway does not answer "${method}".`);
    return Reflect.apply(answer, peer, args);
  });
  const ask: AskRegistry = (kind, question) => channel.call('ask', [kind, question], askMs);
  return {
    directory: shared.directory,
    doors,
    attach(peer) {
      attach(peer);
      return () => {};
    },
    ask,
  };
}

/** What the neighbours say is kept until there is a broker to hear it. */
export function neighbourLine(channel: Channel): NeighbourLine {
  const known = new Map<number, Interests>();
  let ears: NeighbourEars | null = null;
  channel.handle('listens', (neighbour: number, interests: Interests) => {
    known.set(neighbour, interests);
    ears?.listens(neighbour, interests);
  });
  channel.handle('gone', (neighbour: number) => {
    known.delete(neighbour);
    ears?.gone(neighbour);
  });
  channel.handle('packet', (packet: CarriedPacket) => ears?.hear(packet));
  return {
    join(others) {
      ears = others;
      for (const [neighbour, interests] of known) others.listens(neighbour, interests);
    },
    listening: (interests) =>
      channel.call<void>('listening', [interests], tellMs).catch(() => {
        // One that is stuck or gone is told when it is there again; the subscriber need not wait for that.
      }),
    carry(to, packet) {
      if (channel.congested) return false;
      channel.tell('carry', to, packet);
      return true;
    },
  };
}
