#include "graph/container.h"

#include "graph/digest.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fb::graph {

namespace {

constexpr char magic[] = "FLOWBOOK";
constexpr size_t digested = 52;  // where the bytes under the digest start
constexpr size_t most_axes = 64;

[[noreturn]] void damaged(const std::string& why) { throw GraphError(Trouble::file, "damaged: " + why); }
[[noreturn]] void failed(const char* verb, const std::string& path) {
    throw GraphError(Trouble::file, std::string("cannot ") + verb + " " + path + ": " + std::strerror(errno));
}

struct File {
    explicit File(int fd) : fd(fd) {}
    ~File() {
        if (fd >= 0) ::close(fd);
    }
    int fd;
};

size_t padding(size_t position) { return (64 - position % 64) % 64; }

struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    size_t offset, bytes;
};

size_t size_member(const Json& entry, const char* name) {
    const Json* found = entry.find(name);
    if (!found || found->kind != Json::integer || found->number < 0)
        damaged(std::string("an array's ") + name + " is no size");
    return static_cast<size_t>(found->number);
}

Entry read_entry(const std::string& name, const Json& entry) {
    auto refuse = [&](const char* why) { damaged("array " + shown(name) + " " + why); };
    const Json *dtype = entry.find("dtype"), *shape = entry.find("shape");
    if (entry.kind != Json::object || entry.members.size() != 4 || !dtype || !shape || dtype->kind != Json::string ||
        shape->kind != Json::list)
        refuse("is not described by dtype, shape, offset and nbytes");
    Entry found{name, DType::f32, {}, size_member(entry, "offset"), size_member(entry, "nbytes")};
    if (dtype->text == "float16") unsupported("array " + shown(name) + " is float16, which has no native kernels");
    if (!dtype_named(dtype->text, found.dtype)) refuse("has a dtype that files cannot hold");
    if (shape->items.size() > most_axes) refuse("has too many axes");
    for (const Json& dim : shape->items) {
        if (dim.kind != Json::integer || dim.number < 0) refuse("has a shape that is no shape");
        found.shape.push_back(dim.number);
    }
    check_shape(found.shape);
    if (static_cast<size_t>(elements(found.shape) * size_of(found.dtype)) != found.bytes)
        refuse("has another size than its shape says");
    return found;
}

std::map<std::string, SharedArray> read_arrays(const Json& table, const char* data, size_t size, size_t header_end) {
    std::vector<Entry> entries;
    for (auto& each : table.members) entries.push_back(read_entry(each.first, each.second));
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::make_pair(a.offset, a.bytes) < std::make_pair(b.offset, b.bytes);
    });
    size_t start = header_end + padding(header_end), position = header_end;
    std::map<std::string, SharedArray> found;
    for (const Entry& each : entries) {
        size_t expected = position + padding(position);
        if (each.offset > size || start + each.offset != expected)
            damaged("array " + shown(each.name) + " overlaps another one, or leaves a gap");
        if (expected > size || each.bytes > size - expected)
            damaged("array " + shown(each.name) + " reaches beyond the end of the file");
        if (std::any_of(data + position, data + expected, [](char c) { return c != 0; }))
            damaged("the padding before array " + shown(each.name) + " is not zero");
        position = expected + each.bytes;
        auto array = std::make_shared<Array>(make_spec(each.dtype, each.shape));
        std::memcpy(array->data, data + expected, each.bytes);
        if (each.dtype == DType::b1)
            for (size_t k = 0; k < each.bytes; k++)
                if (static_cast<const uint8_t*>(array->data)[k] > 1)
                    damaged("array " + shown(each.name) + " is bool and has bytes other than 0 and 1");
        found.emplace(each.name, std::move(array));
    }
    if (position != size) damaged("something follows its last array");
    return found;
}

}  // namespace

Container parse_container(const char* data, size_t size, const std::string& kind) {
    if (size < 8 || std::memcmp(data, magic, 8) != 0) throw GraphError(Trouble::file, "not a flowbook file");
    if (size < digested) damaged("it ends too early");
    uint32_t version;
    uint64_t length;
    std::memcpy(&version, data + 8, 4);
    std::memcpy(&length, data + 12, 8);
    if (version > 1)
        throw GraphError(Trouble::file, "written by a newer flowbook (file format " + std::to_string(version) + ")");
    if (version < 1) damaged("there is no file format 0");
    Sha256 digest;
    digest.add(data + digested, size - digested);
    if (std::memcmp(digest.finish().data(), data + 20, 32) != 0) damaged("its checksum does not match its content");
    if (length > size - digested) damaged("its header is longer than the file");
    Json header;
    try {
        header = parse_json({data + digested, length});
    } catch (const GraphError&) {
        throw;
    } catch (const Error& error) {
        damaged(std::string("its header is ") + error.what());
    }
    const Json *found = header.find("kind"), *document = header.find("document"), *arrays = header.find("arrays");
    if (header.kind != Json::object || header.members.size() != 3 || !found || !document || !arrays)
        damaged("its header does not have the members kind, document and arrays");
    if (found->kind != Json::string) damaged("its kind is not text");
    if (found->text != kind)
        throw GraphError(Trouble::file, "this is a file of kind " + shown(found->text) + "; expected was '" + kind +
                         "'");
    if (document->kind != Json::object || arrays->kind != Json::object)
        damaged("its document or its table of arrays is not an object");
    Container made;
    made.arrays = read_arrays(*arrays, data, size, digested + length);
    made.document = std::move(*const_cast<Json*>(document));
    return made;
}

Container read_container(const std::string& path, const std::string& kind) {
    File file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));  // a pipe does not block
    if (file.fd < 0) failed("read", path);
    struct stat status;
    if (::fstat(file.fd, &status) != 0) failed("read", path);
    if (!S_ISREG(status.st_mode)) throw GraphError(Trouble::file, "cannot read " + path + ": not a regular file");
    size_t size = static_cast<size_t>(status.st_size);
    std::vector<char> data;
    // Only what begins like a flowbook file is worth the memory.
    for (size_t target : {std::min<size_t>(size, 8), size}) {
        size_t at = data.size();
        data.resize(target);
        while (at < target) {
            ssize_t got = ::read(file.fd, data.data() + at, target - at);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) failed("read", path);
            if (got == 0) break;
            at += static_cast<size_t>(got);
        }
        data.resize(at);
        if (at < 8 || std::memcmp(data.data(), magic, 8) != 0)
            throw GraphError(Trouble::file, path + ": not a flowbook file");
    }
    try {
        return parse_container(data.data(), data.size(), kind);
    } catch (const GraphError& error) {
        throw GraphError(error.trouble, path + ": " + error.what());
    }
}

void write_container(const std::string& path, const std::string& kind, const std::string& document,
                     const Arrays& arrays) {
    std::string table;
    size_t end = 0;
    for (auto& [name, array] : arrays) {
        size_t offset = end + padding(end), bytes = static_cast<size_t>(array->spec.bytes());
        table += (table.empty() ? "" : ",") + quoted(name) + ":{\"dtype\":\"" + name_of(array->spec.dtype) +
            "\",\"shape\":[";
        for (int i = 0; i < array->spec.rank; i++) table += (i ? "," : "") + std::to_string(array->spec.shape[i]);
        table += "],\"offset\":" + std::to_string(offset) + ",\"nbytes\":" + std::to_string(bytes) + "}";
        end = offset + bytes;
    }
    std::string body = "{\"kind\":" + quoted(kind) + ",\"document\":" + document + ",\"arrays\":{" + table + "}}";
    uint64_t length = body.size();
    for (auto& each : arrays) {
        body.append(padding(digested + body.size()), '\0');
        body.append(static_cast<const char*>(each.second->data), static_cast<size_t>(each.second->spec.bytes()));
    }
    Sha256 digest;
    digest.add(body.data(), body.size());
    std::string head = magic;
    uint32_t version = 1;
    head.append(reinterpret_cast<const char*>(&version), 4);
    head.append(reinterpret_cast<const char*>(&length), 8);
    auto sum = digest.finish();
    head.append(reinterpret_cast<const char*>(sum.data()), 32);
    body.insert(0, head);

    // A symbolic link stays, and the file it points to is replaced; what is no file is left alone.
    struct stat old;
    bool there = ::stat(path.c_str(), &old) == 0;
    if (there && !S_ISREG(old.st_mode)) {
        errno = S_ISDIR(old.st_mode) ? EISDIR : EINVAL;
        failed("write", path);
    }
    std::unique_ptr<char, void (*)(void*)> real(there ? ::realpath(path.c_str(), nullptr) : nullptr, std::free);
    std::string target = real ? real.get() : path, temporary = target + ".XXXXXX";
    File file(::mkstemp(temporary.data()));
    if (file.fd < 0) failed("write", path);
    auto give_up = [&] {
        int why = errno;
        ::unlink(temporary.c_str());
        errno = why;
        failed("write", path);
    };
    mode_t mode = there ? old.st_mode & 0777 : 0644;
    for (size_t at = 0; at < body.size();) {
        ssize_t put = ::write(file.fd, body.data() + at, body.size() - at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) give_up();
        at += static_cast<size_t>(put);
    }
    if (::fchmod(file.fd, mode) != 0 || ::fsync(file.fd) != 0) give_up();
    if (::rename(temporary.c_str(), target.c_str()) != 0) give_up();
}

}  // namespace fb::graph
