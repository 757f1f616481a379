import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** A server of MongoDB's protocol with its documents in memory. Its own newest version has wire version 8; drivers of today want 9. */
public final class StandIn {
    public static void main(String[] args) {
        MemoryBackend backend = new MemoryBackend();
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
}
