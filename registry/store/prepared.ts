/** A database as Kysely uses it, with every statement prepared once: the same few dozen are asked again and again. */
import type { Database, Statement } from 'better-sqlite3';
import type { SqliteDatabase } from 'kysely';

/** The statements of a connection by their text. Closing it closes the connection. */
export function preparedOnce(db: Database): SqliteDatabase {
  const statements = new Map<string, Statement>();
  return {
    prepare(sql) {
      let statement = statements.get(sql);
      if (!statement) {
        statement = db.prepare(sql);
        // Kysely runs each to its end before the next. Only a list of changing length makes new texts: keep a bound.
        if (statements.size < mostStatements) statements.set(sql, statement);
      }
      return statement as unknown as ReturnType<SqliteDatabase['prepare']>;
    },
    close: () => db.close(),
  };
}

const mostStatements = 500;
