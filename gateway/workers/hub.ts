/**
 * What workers say to each other and to the registry, and it to them, passes here, in the main process. It routes and
 * remembers who listens to what; it decides nothing.
 */
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type { GatewayPeer, RegistryLine } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { CarriedPacket, Interests } from '../mqtt/neighbours.ts';
import { peerBehind } from '../upstream/peer-group.ts';
import type { DisplacedSession } from './worker-ownership.ts';
import type { WorkerProcess } from './worker-process.ts';

/** A worker is waited for so long when sessions of others hang on it. */
const letGoMs = 2_500;
const tellMs = 1_500;
/** Longest wait for what a worker answers the registry, which has a bound of its own. */
const peerMs = 30_000;

export class Hub {
  readonly #line: RegistryLine;
  readonly #workers = new Map<number, WorkerProcess>();
  readonly #interests = new Map<number, Interests>();

  constructor(line: RegistryLine) {
    this.#line = line;
  }

  /** From now on the worker is heard, and part of what the registry sees. To be called once it was told to open. */
  join(worker: WorkerProcess, name: string): void {
    const { channel, number } = worker;
    this.#workers.set(number, worker);
    for (const [neighbour, interests] of this.#interests) channel.tell('listens', neighbour, interests);
    const ask = this.#line.ask as (...args: unknown[]) => ReturnType<AskRegistry>;
    channel.handle('ask', (kind: string, question: unknown) => ask(kind, question));
    channel.handle('displace', (former: number, clientId: string, epoch: number) =>
      this.#displace(former, clientId, epoch),
    );
    channel.handle('listening', (interests: Interests) => this.#listening(worker, interests));
    channel.handle('carry', (to: readonly number[], packet: CarriedPacket) => {
      for (const neighbour of to) this.#workers.get(neighbour)?.channel.tell('packet', packet);
    });
    const peer: GatewayPeer = peerBehind(name, (method, args) =>
      channel.call('peer', [method, args], peerMs),
    );
    channel.onClosed(this.#line.attach(peer));
  }

  /** It is no more: nobody waits for it, nothing is carried to it. */
  leave(worker: WorkerProcess): void {
    if (this.#workers.get(worker.number) !== worker) return;
    this.#workers.delete(worker.number);
    this.#interests.delete(worker.number);
    this.tellAll('gone', worker.number);
  }

  tellAll(method: string, ...args: readonly unknown[]): void {
    for (const { channel } of this.#workers.values()) channel.tell(method, ...args);
  }

  /** One that is gone has let go: its sockets went with it. */
  async #displace(former: number, clientId: string, epoch: number): Promise<DisplacedSession | null> {
    const worker = this.#workers.get(former);
    if (!worker) return null;
    try {
      return await worker.channel.call('displaced', [clientId, epoch], letGoMs);
    } catch (thrown) {
      if (Fault.of(thrown).kind !== 'unavailable') throw thrown;
      return null;
    }
  }

  /** Resolves when the others know, or were given the time to. */
  async #listening({ number }: WorkerProcess, interests: Interests): Promise<void> {
    this.#interests.set(number, interests);
    const others = [...this.#workers.values()].filter((each) => each.number !== number);
    await Promise.allSettled(
      others.map(({ channel }) => channel.call('listens', [number, interests], tellMs)),
    );
  }
}
