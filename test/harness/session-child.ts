/** Another process on a file of sessions: does what its parent asks, and answers. Its first argument is the folder. */
import { SessionStore } from '../../gateway/mqtt/store/session-store.ts';
import { type SessionRequest, sessionStoreDefaults } from './session-file.ts';

const store = await SessionStore.open({
  ...sessionStoreDefaults,
  dataDir: process.argv[2]!,
  process: 'neighbour',
  neighbours: ['gateway'],
});

async function answer(request: SessionRequest): Promise<unknown> {
  switch (request.ask) {
    case 'open':
      return store.sessions.open(request.arrival, Date.now());
    case 'subscribe':
      return store.subscriptions.add(request.clientId, [
        { topic: request.filter, qos: 1, rh: undefined, rap: undefined, nl: undefined },
      ]);
    case 'match':
      return store.index.match(request.topic).map(({ clientId }) => clientId);
    case 'keeps':
      return store.index.has(request.clientId);
    case 'publish':
      for (let n = 0; n < request.count; n++)
        await store.queue.add(store.index.match(request.topic), {
          cmd: 'publish',
          topic: request.topic,
          payload: Buffer.from(`${request.from} ${n}`),
          qos: 1,
          retain: false,
          brokerId: request.from,
          brokerCounter: n + 1,
        });
      return null;
  }
}

process.on('message', (request: SessionRequest) => {
  answer(request).then(
    (value) => process.send!({ value: value ?? null }),
    (error: Error) => process.send!({ error: error.message }),
  );
});
process.send!('ready');
