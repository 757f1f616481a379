import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.backend.memory.index.MemoryUniqueIndex;
import de.bwaldvogel.mongo.bson.Document;
import java.util.List;

/**
 * A server of MongoDB's protocol with its documents in memory.
 *
 * <p>Two things are made as MongoDB has them. Its own newest version has wire version 8, and drivers of today want 9. And it
 * uses its index of ids only for a query that asks for nothing but the id; with a condition beside it, it would look at
 * every document of the collection.
 */
public final class StandIn {
    public static void main(String[] args) {
        MemoryBackend backend = new MemoryBackend() {
            @Override
            public MemoryDatabase openOrCreateDatabase(String name) {
                return new Database(name, getCursorRegistry());
            }
        };
        backend.version(new MongoVersion() {
            @Override
            public List<Integer> getVersionArray() {
                return List.of(4, 4, 0);
            }

            @Override
            public int getWireVersion() {
                return 9;
            }
        });
        new MongoServer(backend).bind("127.0.0.1", Integer.parseInt(args[0]));
    }

    private static final class Database extends MemoryDatabase {
        Database(String name, CursorRegistry cursors) {
            super(name, cursors);
        }

        @Override
        protected Index<Integer> openOrCreateUniqueIndex(
                String collection, String name, List<IndexKey> keys, boolean sparse) {
            boolean isOfIds = keys.size() == 1 && keys.get(0).getKey().equals(ById.ID);
            return isOfIds ? new ById(name, keys, sparse) : super.openOrCreateUniqueIndex(collection, name, keys, sparse);
        }
    }

    /** What it finds is still held against all of the query. */
    private static final class ById extends MemoryUniqueIndex {
        static final String ID = "_id";

        ById(String name, List<IndexKey> keys, boolean sparse) {
            super(name, keys, sparse);
        }

        @Override
        public synchronized boolean canHandle(Document query) {
            return super.canHandle(idAlone(query));
        }

        @Override
        public synchronized Iterable<Integer> getPositions(Document query) {
            return super.getPositions(idAlone(query));
        }

        private static Document idAlone(Document query) {
            return query.containsKey(ID) ? new Document(ID, query.get(ID)) : query;
        }
    }
}
