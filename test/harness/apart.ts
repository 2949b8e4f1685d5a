/** A registry and a gateway in two processes, joined by the feed, on free ports and in a folder of their own. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApiClient, apiClient, type DeviceIdentity } from './api-client.ts';
import { eventually } from './eventually.ts';
import { type Doors, end, startCommand } from './house.ts';
import { type Connected, connectDevice } from './mqtt-device.ts';

type RegistryDoors = Pick<Doors, 'registry' | 'pki' | 'ca' | 'adminTokenFile'>;
type GatewayDoors = Pick<Doors, 'mqtts' | 'https' | 'ops'>;

export class Apart implements AsyncDisposable {
  readonly dir: string;
  readonly registry: RegistryDoors;
  readonly gateway: GatewayDoors;
  readonly api: ApiClient;
  readonly #children: readonly ChildProcess[];

  private constructor(parts: {
    dir: string;
    registry: RegistryDoors;
    gateway: GatewayDoors;
    api: ApiClient;
    children: readonly ChildProcess[];
  }) {
    this.dir = parts.dir;
    this.registry = parts.registry;
    this.gateway = parts.gateway;
    this.api = parts.api;
    this.#children = parts.children;
  }

  /** The gateway calls itself `north`. */
  static async start(): Promise<Apart> {
    const dir = await mkdtemp(join(tmpdir(), 'apart-'));
    const free = (...doors: string[]) => doors.flatMap((door) => [`--${door}-port`, '0']);
    const registry = await startCommand<RegistryDoors>([
      'registry',
      '--data',
      join(dir, 'r'),
      ...free('registry', 'pki', 'ops'),
    ]);
    const { registry: url, ca, adminTokenFile } = registry.doors;
    const joining = ['--registry', url, '--ca', ca, '--token-file', adminTokenFile, '--name', 'north'];
    const gateway = await startCommand<GatewayDoors>([
      'gateway',
      '--data',
      join(dir, 'g'),
      ...joining,
      ...free('mqtts', 'https', 'ops'),
    ]);
    const token = (await readFile(adminTokenFile, 'utf8')).trim();
    return new Apart({
      dir,
      registry: registry.doors,
      gateway: gateway.doors,
      api: apiClient(url, await readFile(ca, 'utf8'), token),
      children: [gateway.child, registry.child],
    });
  }

  /** Connects by MQTT 5; what the registry did last may still be on its way to the gateway. */
  connect(device: DeviceIdentity, options = {}): Promise<Connected> {
    return eventually(() => this.tryConnect(device, options));
  }

  tryConnect(device: DeviceIdentity, options = {}): Promise<Connected> {
    const port = Number(new URL(this.gateway.mqtts).port);
    return connectDevice(device, port, { protocolVersion: 5, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api.close();
    for (const child of this.#children) await end(child, 'SIGTERM');
    await rm(this.dir, { recursive: true, force: true });
  }
}
