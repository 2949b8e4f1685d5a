/** The MQTTS door: a listener, a broker behind, and a front for every connection. */
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { Listener, type ListenerOptions } from '../door/listener.ts';
import { Broker } from './broker.ts';
import { Deadlines } from './deadlines.ts';
import { Front, type FrontParts } from './front.ts';
import type { NeighbourLine } from './neighbours.ts';
import { Renewals } from './renewal.ts';
import type { MayRetain } from './retained.ts';

export type MqttDoorOptions = Omit<FrontParts, 'broker' | 'deadlines' | 'renewals'> &
  Omit<ListenerOptions, 'port' | 'door' | 'onConnection' | 'onRefused' | 'onFailed'> & {
    ask: AskRegistry;
    mayRetain: MayRetain;
    neighbours: NeighbourLine | null;
  };

/** Connections that are told goodbye before the loop gets a turn. */
const lot = 500;

export class MqttDoor implements AsyncDisposable {
  readonly port: number;
  /** For the other doors: who listens to what devices say. */
  readonly broker: Broker;
  readonly #listener: Listener;
  readonly #deadlines: Deadlines;
  readonly #fronts: Set<Front>;

  private constructor(parts: {
    listener: Listener;
    broker: Broker;
    deadlines: Deadlines;
    fronts: Set<Front>;
  }) {
    this.#listener = parts.listener;
    this.broker = parts.broker;
    this.#deadlines = parts.deadlines;
    this.#fronts = parts.fronts;
    this.port = parts.listener.port;
  }

  static async open(options: MqttDoorOptions): Promise<MqttDoor> {
    const { settings, clock } = options;
    const broker = await Broker.open(options);
    const deadlines = new Deadlines(clock);
    const fronts = new Set<Front>();
    const renewals = new Renewals({ ask: options.ask, settings, clock });
    const parts: FrontParts = { ...options, broker, deadlines, renewals };
    const listener = await Listener.open({
      ...options,
      door: 'mqtts',
      port: settings.port,
      onRefused: (reason, address) => options.corridor.turnedAway('mqtt', address, reason),
      onFailed: (failure) => options.corridor.failed('mqtt', failure),
      onConnection: (socket, peer, acceptedAtMs) => {
        const front = new Front(socket, peer, acceptedAtMs, parts);
        fronts.add(front);
        socket.once('close', () => fronts.delete(front));
      },
    });
    return new MqttDoor({ listener, broker, deadlines, fronts });
  }

  /** Nobody new; everybody in is told that the server shuts down (0x8B in MQTT 5). */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.stop();
    const ended: Promise<void>[] = [];
    for (const front of this.#fronts) {
      ended.push(
        front.end(new Fault('shutting-down', 'The gateway is shutting down; connect again.'), {
          silence: false,
        }),
      );
      if (ended.length % lot === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await Promise.all(ended);
    await this.#listener[Symbol.asyncDispose]();
    this.#deadlines[Symbol.dispose]();
    await this.broker[Symbol.asyncDispose]();
  }
}
