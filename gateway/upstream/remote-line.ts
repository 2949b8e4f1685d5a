/** The registry line of a gateway whose registry is elsewhere: a replica, a follower, and credentials of its own. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type { RegistryLine } from '#common/contract/line.ts';
import type { Logger } from '#common/log.ts';
import { DoorCredentials } from './door-credentials.ts';
import { DoorStaple } from './door-staple.ts';
import { FeedFollower } from './feed-follower.ts';
import { PeerGroup } from './peer-group.ts';
import { RegistryClient } from './registry-client.ts';
import { Replica } from './replica.ts';

export interface RemoteLineOptions {
  registryUrl: string;
  name: string;
  dataDir: string;
  /** Both are needed for the first start only. */
  caFile?: string;
  tokenFile?: string;
  /** DNS names and IP addresses for the certificate of the doors. */
  names: readonly string[];
  clock: Clock;
  log: Logger;
}

/** A first start waits so long for the feed to be complete before the doors open on what there is. */
const firstCatchUpMs = 10_000;

export interface RemoteLine extends RegistryLine {
  /** Where the directory is kept, for other processes of this gateway to read. */
  readonly directoryFile: string;
  close(): Promise<void>;
}

/** Faults `unavailable` when the registry cannot be reached for the first enrollment; later starts do without it. */
export async function openRemoteLine(options: RemoteLineOptions): Promise<RemoteLine> {
  const { registryUrl, name, dataDir, clock, log } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await using opened = new AsyncDisposableStack();
  const doors = opened.use(await DoorCredentials.open({ ...options, dir: join(dataDir, 'door') }));
  const directoryFile = join(dataDir, 'directory.db');
  const replica = opened.use(Replica.open(directoryFile, clock));
  const connect = () => {
    const { chain, key, trust } = doors.current;
    return new RegistryClient(registryUrl, { ca: trust, certificate: { chain, key } });
  };
  const follower = opened.use(new FeedFollower({ connect, replica, clock, log, name }));
  const patience = new AbortController();
  await Promise.race([follower.caughtUp, clock.sleep(firstCatchUpMs, patience.signal)]);
  patience.abort();
  // Kept between questions: a storm of enrollments is not one of handshakes with the registry as well.
  let asker = connect();
  opened.defer(() => asker[Symbol.asyncDispose]());
  opened.defer(
    doors.onRenewed(() => {
      const former = asker;
      asker = connect();
      void former.close();
    }),
  );
  const ask: AskRegistry = (kind, question) => asker.ask(name, kind, question);
  const staple = opened.use(new DoorStaple({ doors, ask, clock, log }));
  const group = new PeerGroup(name);
  const stack = opened.move();
  return {
    directoryFile,
    directory: replica,
    doors: {
      get current() {
        return doors.current;
      },
      onRenewed: (use) => doors.onRenewed(use),
      staple: () => staple.current,
    },
    attach(gateway) {
      const leave = group.join(gateway);
      const detach = follower.attach(group.peer);
      return () => {
        leave();
        if (group.size === 0) detach();
      };
    },
    ask,
    close: () => stack.disposeAsync(),
  };
}
