/** The program of a worker process, which `up` and `gateway` start with `--workers`: a gateway on a directory that another writes. */
import { systemClock } from '#common/clock.ts';
import { ReplicaReader } from '../gateway/upstream/replica-reader.ts';
import { runWorker } from '../gateway/workers/worker.ts';
import { FileDirectory } from '../registry/store/directory.ts';

runWorker(({ kind, path }) => {
  const directory =
    kind === 'registry' ? FileDirectory.openElsewhere(path) : ReplicaReader.open(path, systemClock);
  return {
    directory,
    fresh: () => directory.fresh(),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
});
