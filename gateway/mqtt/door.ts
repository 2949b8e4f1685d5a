/** The MQTTS door: a listener, a broker behind, and a front for every connection. */
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { mqttNames } from '../door/alpn.ts';
import { Listener, type ListenerOptions } from '../door/listener.ts';
import { Broker, type BrokerOptions } from './broker.ts';
import { Deadlines } from './deadlines.ts';
import type { FrontParts } from './front-parts.ts';
import { Fronts } from './fronts.ts';
import { Renewals } from './renewal.ts';

export type MqttDoorOptions = Omit<FrontParts, 'broker' | 'deadlines' | 'renewals'> &
  Omit<ListenerOptions, 'port' | 'door' | 'alpn' | 'onConnection' | 'onRefused' | 'onFailed' | 'onMisled'> & {
    ask: AskRegistry;
  } & Pick<BrokerOptions, 'store' | 'standing' | 'neighbours'>;

export class MqttDoor implements AsyncDisposable {
  readonly port: number;
  /** For the other doors: who listens to what devices say. */
  readonly broker: Broker;
  readonly #listener: Listener;
  readonly #fronts: Fronts;
  readonly #parts: FrontParts;

  private constructor(listener: Listener, fronts: Fronts, parts: FrontParts) {
    this.#listener = listener;
    this.#fronts = fronts;
    this.#parts = parts;
    this.broker = parts.broker;
    this.port = listener.port;
  }

  /** For a door that lets MQTT in too: to be ended before it. */
  annex(): Fronts {
    return new Fronts(this.#parts);
  }

  static async open(options: MqttDoorOptions): Promise<MqttDoor> {
    const { settings, clock } = options;
    const broker = await Broker.open(options);
    const deadlines = new Deadlines(clock);
    const renewals = new Renewals({ ask: options.ask, settings, clock });
    const parts: FrontParts = { ...options, broker, deadlines, renewals };
    const fronts = new Fronts(parts);
    const listener = await Listener.open({
      ...options,
      door: 'mqtts',
      port: settings.port,
      onRefused: (reason, address) => options.corridor.turnedAway('mqtt', address, reason),
      onFailed: (failure) => options.corridor.failed('mqtt', failure),
      alpn: mqttNames,
      onMisled: (fault, peer) => options.corridor.refuse('mqtt', peer, null, null, fault),
      onConnection: (socket, peer, acceptedAtMs) => fronts.take(socket, peer, acceptedAtMs),
    });
    return new MqttDoor(listener, fronts, parts);
  }

  /** Nobody new, and everybody in is told. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.stop();
    await this.#fronts.end();
    await this.#listener[Symbol.asyncDispose]();
    this.#parts.deadlines[Symbol.dispose]();
    await this.broker[Symbol.asyncDispose]();
  }
}
