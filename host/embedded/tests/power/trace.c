/* Loaded into a process (LD_PRELOAD): records what it writes to files under POWER_DIRECTORY and what it syncs, so that a test can build the
 * directory as a power failure would leave it. The record goes to the file POWER_TRACE, a struct and its bytes for each call:
 *
 *   n  a file was created, or is empty after it was opened      w  bytes were written at an offset
 *   t  a file got a length                                      s  a file was synced
 *   d  a directory was synced: its entries, as "kind inode name\n"
 *   a  bytes were written to standard output: what the process has promised
 *
 * Renames and deletions need no record: the entries of a directory are listed when it is synced. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct record { uint64_t kind, inode, offset, length; };

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static const char *directory;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("POWER_TRACE");
  directory = getenv("POWER_DIRECTORY");
  if (path && directory) trace = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(uint64_t kind, uint64_t inode, uint64_t offset, const void *bytes, uint64_t length) {
  struct record record = {kind, inode, offset, length};
  struct iovec parts[2] = {{&record, sizeof record}, {(void *)bytes, bytes ? length : 0}};
  if (syscall(SYS_writev, trace, parts, 2) < 0) abort();
}

/* True if the file is one of those that are watched; gives what it is. */
static int watched(int fd, struct stat *about) {
  char link[64], path[4096];
  if (trace < 0 || fstat(fd, about) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strncmp(path, directory, strlen(directory)) == 0;
}

static ssize_t wrote(int fd, off_t at, const struct iovec *parts, int count, ssize_t done) {
  struct stat about;
  if (done <= 0 || !watched(fd, &about)) return done;
  ssize_t left = done;
  for (int i = 0; i < count && left > 0; i++) {
    ssize_t part = (ssize_t)parts[i].iov_len < left ? (ssize_t)parts[i].iov_len : left;
    put('w', about.st_ino, at, parts[i].iov_base, part);
    at += part;
    left -= part;
  }
  return done;
}

static off_t place(int fd) {
  struct stat about;
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &about) == 0) return about.st_size;
  return lseek(fd, 0, SEEK_CUR);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  pthread_mutex_lock(&order);
  off_t at = place(fd);
  ssize_t done = wrote(fd, at, parts, count, syscall(SYS_writev, fd, parts, count));
  pthread_mutex_unlock(&order);
  return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  struct iovec part = {(void *)bytes, length};
  pthread_mutex_lock(&order);
  off_t at = fd > 2 ? place(fd) : 0;
  ssize_t done = syscall(SYS_write, fd, bytes, length);
  if (fd == 1 && done > 0 && trace >= 0) put('a', 0, 0, bytes, done);
  else done = wrote(fd, at, &part, 1, done);
  pthread_mutex_unlock(&order);
  return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
  struct iovec part = {(void *)bytes, length};
  pthread_mutex_lock(&order);
  ssize_t done = wrote(fd, at, &part, 1, syscall(SYS_pwrite64, fd, bytes, length, at));
  pthread_mutex_unlock(&order);
  return done;
}

int ftruncate64(int fd, off_t length) {
  struct stat about;
  pthread_mutex_lock(&order);
  int done = syscall(SYS_ftruncate, fd, length);
  if (done == 0 && watched(fd, &about)) put('t', about.st_ino, length, NULL, 0);
  pthread_mutex_unlock(&order);
  return done;
}

static void list(int fd, uint64_t inode) {
  static char entries[1 << 20];
  size_t length = 0;
  DIR *folder = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (struct dirent *entry; folder && (entry = readdir(folder));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
      length += snprintf(entries + length, sizeof entries - length, "%c %lu %s\n", entry->d_type == DT_DIR ? 'd' : 'f',
                         (unsigned long)entry->d_ino, entry->d_name);
  if (folder) closedir(folder);
  put('d', inode, 0, entries, length);
}

static int synced(int fd, long call) {
  struct stat about;
  pthread_mutex_lock(&order);
  int done = syscall(call, fd);
  if (done == 0 && watched(fd, &about)) {
    if (S_ISDIR(about.st_mode)) list(fd, about.st_ino);
    else put('s', about.st_ino, 0, NULL, 0);
  }
  pthread_mutex_unlock(&order);
  return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int open64(const char *path, int flags, ...) {
  struct stat about;
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  pthread_mutex_lock(&order);
  int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  if (fd >= 0 && (flags & O_CREAT) && watched(fd, &about) && about.st_size == 0) put('n', about.st_ino, 0, NULL, 0);
  pthread_mutex_unlock(&order);
  return fd;
}
